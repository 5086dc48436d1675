//! What a reload answers.

use serde::Serialize;

use crate::admin::context::Reloaded;
use crate::config::{Color, Diagnostics};

/// `POST /api/v1/reload`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct ReloadAnswer {
    /// `ok`, `invalid` or `error`, as in the metric.
    result: &'static str,
    /// Of the configuration in effect.
    epoch: u64,
    /// What is different now, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Errors and warnings, as `check --json` prints them.
    diagnostics: serde_json::Value,
    /// The same for people, as `check` prints them.
    text: String,
}

impl ReloadAnswer {
    pub(in crate::admin) fn of(reloaded: Reloaded, epoch_now: u64) -> Self {
        let result = reloaded.result().as_str();
        match reloaded {
            Reloaded::Applied {
                epoch,
                changes,
                warnings,
            } => Self {
                changes,
                ..Self::new(result, epoch, &warnings)
            },
            Reloaded::Invalid(diagnostics) => Self::new(result, epoch_now, &diagnostics),
            Reloaded::Failed(message) => Self {
                message: Some(message),
                ..Self::new(result, epoch_now, &Diagnostics::default())
            },
        }
    }

    fn new(result: &'static str, epoch: u64, diagnostics: &Diagnostics) -> Self {
        Self {
            result,
            epoch,
            changes: Vec::new(),
            message: None,
            diagnostics: diagnostics.to_json(),
            text: diagnostics.render_text(Color::Never),
        }
    }
}
