//! `[error_pages.NAME]`.

use serde::Deserialize;

use crate::config::span::Spanned;
use crate::config::types::{ByteSize, Duration, FilePath, StatusRange};

/// `[error_pages.NAME]`: what clients are shown instead of the short text that says why there is no answer. Listeners and routes name
/// them by `error_pages`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorPages {
    /// The pages; the first that is for a status is shown.
    #[serde(default)]
    pub pages: Vec<Spanned<ErrorPage>>,
    /// Statuses of endpoints' answers that are replaced too. Range: `400` to `599`. Default: none.
    pub endpoints: Option<Spanned<Vec<Spanned<StatusRange>>>>,
}

/// `pages`: one page, in the forms that it has. Which of them a client gets, its Accept field decides. `${status}`, `${phrase}`, `${reason}` and
/// `${request_id}` in them are what they say; anything else stays as it is. A file is watched, and may have 1 MiB.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorPage {
    /// For which statuses. Range: `400` to `599`.
    pub status: Spanned<Vec<Spanned<StatusRange>>>,
    /// The page as `text/html`.
    pub html: Option<Spanned<String>>,
    /// A file with it.
    pub html_file: Option<Spanned<FilePath>>,
    /// The page as `application/json`.
    pub json: Option<Spanned<String>>,
    /// A file with it.
    pub json_file: Option<Spanned<FilePath>>,
    /// The page as `text/plain`.
    pub text: Option<Spanned<String>>,
    /// A file with it.
    pub text_file: Option<Spanned<FilePath>>,
    /// A cluster that has the page; the forms above are for when it does not give it.
    pub cluster: Option<Spanned<String>>,
    /// The path that the cluster is asked for; `${status}` is the status. Default: `/${status}`.
    pub path: Option<Spanned<String>>,
    /// How long the cluster may take. Range: above `0s`. Default: `2s`.
    pub timeout: Option<Spanned<Duration>>,
    /// Longest page of the cluster. Range: `0B` to `1MiB`. Default: `64KiB`.
    pub max_body: Option<Spanned<ByteSize>>,
}
