//! Clusters by the names that others know them by.

use crate::base::ClusterName;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned, suggest};

/// Position of a cluster in the list of all that a configuration names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ClusterIx(pub u32);

impl ClusterIx {
    /// The position of the cluster of this name.
    pub fn of(name: &str, all: &[ClusterName]) -> Option<Self> {
        let position = all.iter().position(|known| known.as_str() == name)?;
        u32::try_from(position).ok().map(Self)
    }

    /// As an index into that list.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The position of a cluster that somebody names.
pub fn find_cluster(
    who: &str,
    name: &Spanned<String>,
    clusters: &[ClusterName],
    diagnostics: &mut Diagnostics,
) -> Option<ClusterIx> {
    if let Some(ix) = ClusterIx::of(name, clusters) {
        return Some(ix);
    }
    let cluster = name.escape_debug();
    let message = format!("{who} sends to unknown cluster `{cluster}`");
    let diagnostic = Diagnostic::error(Code::UnknownCluster, name.span, message)
        .label("no cluster has this name");
    diagnostics.push(
        match suggest(name, clusters.iter().map(ClusterName::as_str)) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic,
        },
    );
    None
}
