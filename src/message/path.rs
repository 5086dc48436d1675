//! The path: one canonical form for matching, filters, log and endpoint.
