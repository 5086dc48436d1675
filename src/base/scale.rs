//! How large the tests with models are.

/// So many as every run has, or, with `TIDEGATE_FAULT_SCALE`, `full` of them or a share of that (`0.1`), but not fewer.
pub(crate) fn scaled(usual: u32, full: u32) -> u32 {
    let said = std::env::var("TIDEGATE_FAULT_SCALE");
    let share = match said.as_deref() {
        Ok("") | Err(_) => return usual,
        Ok("full") => 1.0,
        Ok(share) => share.parse().unwrap_or(0.0),
    };
    let scaled = f64::from(full) * f64::clamp(share, 0.0, 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not more than `full`, and not below 0"
    )]
    let scaled = scaled as u32;
    scaled.max(usual)
}
