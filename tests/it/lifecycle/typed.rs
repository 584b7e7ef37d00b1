//! Codes as people type them.

use serde_json::json;

use super::factors::{STEP, give_code, give_password, with_app};
use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{SIGN_IN_FLOW, TestApp};

/// How a code is typed.
type Form = Box<dyn Fn(&str) -> String + Send + Sync>;

db_test!(codes_count_in_digits_of_any_script_and_with_any_separators, |db| async move {
    let app = TestApp::new(db).await;
    let (_alice, _browser, phone) = with_app(&app, "alice").await;
    let in_script = |zero: u32| move |digit: char| char::from_u32(zero + u32::from(digit) - u32::from('0')).unwrap();
    let spread = |separator: &str| {
        let separator = separator.to_owned();
        move |code: &str| format!("{}{separator}{}", &code[..3], &code[3..])
    };
    let forms: [Form; 7] = [
        Box::new(move |code| code.chars().map(in_script(0xff10)).collect()),
        Box::new(move |code| code.chars().map(in_script(0x660)).collect()),
        Box::new(move |code| code.chars().map(in_script(0x1d7ce)).collect()),
        Box::new(spread("-")),
        Box::new(spread("\u{a0}")),
        Box::new(spread(".")),
        Box::new(|code| code.chars().map(|digit| format!("{digit}\u{2013}")).collect()),
    ];
    for form in forms {
        app.advance(STEP);
        let caller = app.anonymous();
        let shown = give_password(&caller, "alice").await;
        let typed = form(&phone.code(&app));
        assert_eq!(give_code(&caller, &shown, &typed).await.redirects_to(), "/sessions", "{typed}");
        // The same by the API.
        app.advance(STEP);
        let caller = app.anonymous();
        sign_in_as(&caller, "alice", PASSWORD, false).await;
        let typed = form(&phone.code(&app));
        let answer = json!({"component": "ak-stage-authenticator-validate", "code": typed});
        let answer = caller.post_json(SIGN_IN_FLOW, &answer).await.assert_status(200).json();
        assert_ne!(answer["component"], "ak-stage-authenticator-validate", "{typed}");
    }
    let wide = |code: &str| code.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect::<String>();
    let caller = app.anonymous();
    let shown = give_password(&caller, "alice").await;
    assert_eq!(give_code(&caller, &shown, &wide(&phone.codes[0])).await.redirects_to(), "/sessions", "a recovery code, too");
});
