//! The authority: Host and absolute-form targets, made canonical.
