//! Judges a request to a guarded host: which rules decide about it, and whether all their demands are met. The check
//! of the guard and `rollcall app test` ask this function.

use std::borrow::Cow;

use crate::domain::application::Application;
use crate::domain::application::decide::{Ask, Decision, decide};

/// One way to read the path of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reading<'p> {
    /// The path, which begins with `/` and has no query. Of a folded reading: [folded](super::path::fold_path).
    pub path: Cow<'p, str>,
    /// Whether the path is compared without letter case.
    pub is_folded: bool,
}

/// The judgement of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What is missing for all demands together.
    pub decision: Decision,
    /// Which rules decided, by their place counted from 0; `None`: the application's own demand. Each once, in order.
    pub rules: Vec<Option<usize>>,
    /// The first of these whose demand is not met.
    pub refused_by: Option<Option<usize>>,
}

/// Judges a request for each of its readings and each of its methods (in capitals): it is allowed only if every one is,
/// and all demands add up. No reading or no method at all, or an application without a guard: the application's own
/// demand decides.
#[must_use]
pub fn judge(application: &Application, readings: &[Reading<'_>], methods: &[&str], ask: &Ask<'_>) -> Judgement {
    let mut rules: Vec<Option<usize>> = Vec::new();
    if let Some(guard) = application.guard() {
        for reading in readings {
            for method in methods {
                let rule = guard.rule_for(&reading.path, reading.is_folded, method, ask.address);
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    if rules.is_empty() {
        rules.push(None);
    }
    rules.sort_unstable();
    let mut judgement = Judgement { rules, ..Judgement::default() };
    for (nth, rule) in judgement.rules.iter().enumerate() {
        let decision = decide(application.demand(*rule), ask);
        if !decision.is_met() && judgement.refused_by.is_none() {
            judgement.refused_by = Some(*rule);
        }
        judgement.decision = if nth == 0 { decision } else { judgement.decision.and(decision) };
    }
    judgement
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::application::decide::{Door, Missing, Person, Proof};
    use crate::domain::application::demand::{Allow, Demand, Level};
    use crate::domain::guard::readings;
    use crate::domain::{Methods, Timestamp};

    fn judged(readings: &[&str], methods: &[&str]) -> Judgement {
        let rules = json!([
            {"paths": ["/health"], "allow": "anyone"},
            {"paths": ["/admin/**"], "factor": "mfa"},
            {"paths": ["/**"], "methods": ["DELETE"], "allow": "nobody"},
        ]);
        let own = Demand { allow: Allow::SignedIn, ..Demand::default() };
        let guard = serde_json::from_value(json!({"hosts": ["app.example"], "rules": rules})).unwrap();
        let application = Application::for_test("app", own, Some(guard));
        let person = Person::new(uuid::Uuid::from_u128(1), Vec::new());
        let proof = Proof { methods: Methods::password(), proved_at: Timestamp(1) };
        let now = Timestamp(1).plus(Duration::from_secs(1));
        let ask = Ask { person: Some(&person), door: Door::Session(proof), address: None, country: "", now };
        let readings: Vec<_> = readings.iter().map(|path| Reading { path: Cow::Borrowed(path), is_folded: false }).collect();
        judge(&application, &readings, methods, &ask)
    }

    #[test]
    fn the_rule_that_fits_decides_and_else_the_application() {
        let health = judged(&["/health"], &["GET"]);
        assert!(health.decision.is_met() && health.decision.is_anonymous());
        assert_eq!((health.rules, health.refused_by), (vec![Some(0)], None));
        let page = judged(&["/page"], &["GET"]);
        assert!(page.decision.is_met() && !page.decision.is_anonymous());
        assert_eq!(page.rules, [None]);
    }

    #[test]
    fn a_request_is_allowed_only_if_every_reading_is() {
        let both = judged(&["/health", "/admin"], &["GET"]);
        assert_eq!(both.decision.missing(), [Missing::Factor(Level::Mfa)]);
        assert_eq!((both.rules, both.refused_by), (vec![Some(0), Some(1)], Some(Some(1))));
        let override_method = judged(&["/page"], &["GET", "DELETE"]);
        assert_eq!(override_method.decision.missing(), [Missing::Nobody]);
        assert_eq!(override_method.refused_by, Some(Some(2)));
    }

    #[test]
    fn without_a_reading_or_a_method_the_application_decides() {
        assert_eq!(judged(&[], &["GET"]).rules, [None]);
        assert_eq!(judged(&["/health"], &[]).rules, [None]);
    }

    fn rule() -> impl Strategy<Value = serde_json::Value> {
        let path = prop_oneof![
            Just("/public/**"),
            Just("/admin/**"),
            Just("/admin"),
            Just("/a/*/b"),
            Just("/**"),
            Just("/Files/**"),
            Just("/health"),
        ];
        let allow = prop_oneof![Just("anyone"), Just("nobody"), Just("signed_in")];
        let methods = prop_oneof![Just(json!([])), Just(json!(["DELETE"])), Just(json!(["GET", "HEAD"]))];
        (path, allow, methods).prop_map(|(path, allow, methods)| json!({"paths": [path], "allow": allow, "methods": methods}))
    }

    fn path() -> impl Strategy<Value = String> {
        let pieces = [
            "/", "//", "..", ".", "%2e%2e", "%2f", "%5c", "\\", ";x", "public", "admin", "ADMIN", "%61dmin", "files", "a", "b",
            "health", "%25",
        ];
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..8).prop_map(|parts| format!("/{}", parts.concat()))
    }

    proptest! {
        /// What is allowed is allowed in each reading and each method alone.
        #[test]
        fn what_is_allowed_is_allowed_in_every_reading_alone(
            rules in proptest::collection::vec(rule(), 0..6),
            path in path(),
            methods in prop_oneof![Just(vec!["GET"]), Just(vec!["POST", "DELETE"])],
            is_known in proptest::bool::ANY,
        ) {
            let guard = serde_json::from_value(json!({"hosts": ["app.example"], "rules": rules})).unwrap();
            let own = Demand { allow: Allow::SignedIn, ..Demand::default() };
            let application = Application::for_test("app", own, Some(guard));
            let person = Person::new(uuid::Uuid::from_u128(1), Vec::new());
            let proof = Proof { methods: Methods::password(), proved_at: Timestamp(1) };
            let person = is_known.then_some(&person);
            let ask = Ask { person, door: Door::Session(proof), address: None, country: "", now: Timestamp(2) };
            let Some(readings) = readings::of(&path) else { return Ok(()) };
            let together = judge(&application, &readings, &methods, &ask);
            for reading in &readings {
                for method in &methods {
                    let alone = judge(&application, std::slice::from_ref(reading), &[*method], &ask);
                    prop_assert!(!together.decision.is_met() || alone.decision.is_met(), "{path} as {reading:?}");
                    // One reading that lets anyone in is enough: no identity is sent then.
                    let is_anonymous = alone.decision.is_anonymous() && together.decision.is_met();
                    prop_assert!(!is_anonymous || together.decision.is_anonymous(), "{path} as {reading:?}");
                }
            }
        }
    }
}
