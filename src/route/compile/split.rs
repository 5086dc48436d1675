//! Where a route or a listener sends to: a cluster by its name, or shares of several.

use super::super::{ClusterIx, Split};
use crate::base::ClusterName;
use crate::base::hash::HashKey;
use crate::cluster::find_cluster;
use crate::config::raw::route;
use crate::config::types::OneOrMany;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::message::key::{self, Words};

/// Largest weight of a part; 0 sends nothing there, until a reload says otherwise.
const MAX_WEIGHT: u32 = 1_000_000;

/// The clusters that can be named.
#[derive(Clone, Copy, Debug)]
pub struct Clusters<'a> {
    /// Every name that the file defines; a [`ClusterIx`] is a position in them.
    pub names: &'a [ClusterName],
    /// What shares are drawn with, the same on all instances.
    pub hash: HashKey,
}

/// Compiles `split` and `split_key`.
pub fn compile_split(
    who: &str,
    split: &Spanned<Vec<Spanned<route::SplitPart>>>,
    key: Option<&Spanned<OneOrMany<String>>>,
    clusters: Clusters<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Split> {
    let mut parts: Vec<(ClusterIx, &str, u32, Span)> = Vec::with_capacity(split.len());
    let mut sound = Some(());
    for part in &split.value {
        let found = find_cluster(who, &part.cluster, clusters.names, diagnostics);
        let first = parts.iter().find(|(ix, ..)| Some(*ix) == found);
        let problem = if part.weight.value > MAX_WEIGHT {
            let message = format!("weight {} is not in 0-{MAX_WEIGHT}", part.weight.value);
            let error = Diagnostic::error(Code::BadWeight, part.weight.span, message);
            Some(error.hint("only the ratio of the weights counts"))
        } else {
            first.map(|&(.., span)| {
                let name = part.cluster.escape_debug();
                let message = format!("cluster `{name}` stands twice in this split");
                Diagnostic::error(Code::DuplicateName, part.cluster.span, message)
                    .also(span, "first here")
            })
        };
        match (found, problem) {
            (Some(ix), None) => {
                parts.push((
                    ix,
                    part.cluster.as_str(),
                    part.weight.value,
                    part.cluster.span,
                ));
            }
            (_, problem) => {
                if let Some(problem) = problem {
                    diagnostics.push(problem);
                }
                sound = None;
            }
        }
    }
    let key = match key {
        None => Some(Box::default()),
        Some(keys) => key::compile(keys, Words::Apart, diagnostics),
    };
    if sound.is_some() && parts.iter().all(|&(_, _, weight, _)| weight == 0) {
        diagnostics.push(
            Diagnostic::error(Code::Empty, split.span, "this split sends nothing anywhere")
                .hint("at least one part must have a weight above 0"),
        );
        return None;
    }
    sound?;
    let parts: Vec<_> = parts
        .into_iter()
        .map(|(ix, name, weight, _)| (ix, name, weight))
        .collect();
    Some(Split::new(&parts, key?, clusters.hash))
}
