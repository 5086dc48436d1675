//! Reloads by the interface.

use super::*;

#[test]
fn a_reload_tells_what_changed() {
    with_admin(&loopback(), None, applied, |rig| async move {
        let answer = rig.ask("POST /api/v1/reload", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = serde_json::json!({
            "result": "ok", "epoch": 8,
            "changes": ["cluster `app`: endpoint 127.0.0.1:9003 added"],
            "diagnostics": [], "text": "",
        });
        assert_eq!(answer.json(), expected);
    });
}

#[test]
fn a_refused_reload_tells_why_and_that_the_old_one_stays() {
    fn invalid() -> Reloaded {
        let mut diagnostics = Diagnostics::default();
        let message = "route `api` sends to unknown cluster `ap1`";
        diagnostics.push(Diagnostic::error(
            Code::UnknownCluster,
            Span::default(),
            message,
        ));
        Reloaded::Invalid(diagnostics)
    }
    with_admin(&loopback(), None, invalid, |rig| async move {
        let answer = rig.ask("POST /api/v1/reload", "").await;
        assert_eq!(answer.status, 422);
        let json = answer.json();
        assert_eq!(
            (&json["result"], &json["epoch"]),
            (&"invalid".into(), &7.into())
        );
        assert_eq!(json["diagnostics"][0]["code"], "C0201");
        assert!(
            json["text"]
                .as_str()
                .unwrap()
                .contains("unknown cluster `ap1`")
        );
    });
    let failed = || Reloaded::Failed("cannot bind 127.0.0.1:80".to_owned());
    with_admin(&loopback(), None, failed, |rig| async move {
        let answer = rig.ask("POST /api/v1/reload", "").await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.json()["message"], "cannot bind 127.0.0.1:80");
    });
}
