//! What passes, passes whole and in order: bodies, heads, interim responses, both ways at once.

mod body;
mod early;
mod head;
mod identity;
mod interim;
mod response;
