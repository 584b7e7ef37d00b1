//! What `rollcall check` looks at of the keys that sign: whether the instance key opens them, and apps can fetch them.

use crate::actions::signing::keyring;
use crate::cli::Outcome;
use crate::cli::check::Report;
use crate::config::Config;
use crate::keys::InstanceKey;
use crate::store::Store;

/// The keys, where there are some; and the address at which they are published, where an application needs it.
pub(super) async fn signing_keys(store: &Store, config: &Config, report: &mut Report) -> Outcome {
    let Ok(rows) = store.read().list_signing_keys().await else { return Ok(()) };
    if let (false, Ok(instance_key)) = (rows.is_empty(), InstanceKey::load(&config.instance_key_path())) {
        match keyring::check(&rows, &instance_key) {
            Ok(()) => Report::good("signing keys", &format!("{} keys", rows.len()))?,
            Err(error) => report.bad(
                "signing keys",
                &format!("{error}: nothing is signed, and what needs it is answered with 503"),
                "Put back the instance key that this database was used with, or make new keys by `rollcall key rotate --now`.",
            )?,
        }
    }
    let Ok(applications) = store.applications().await else { return Ok(()) };
    let signed = applications.all().iter().find(|application| application.guard().is_some_and(|guard| guard.jwt));
    if let (Some(application), None) = (signed, config.issuer_url()) {
        let detail = format!("{} is to get a signed identity and gets none", application.slug);
        let cure = "Set http.public_url to an https address: apps fetch the keys there.";
        report.bad("signed identities", &detail, cure)?;
    }
    Ok(())
}
