//! Passkeys and security keys: the options for browsers, adding one, and proving who one is with
//! one.

pub mod challenge;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::factors;
use crate::actions::sign_in::factors::{Added, Change};
use crate::actions::sign_in::guesses;
use crate::actions::sign_in::passkeys::challenge::{Live, Purpose};
use crate::actions::sign_in::proof;
use crate::actions::sign_in::proof::Proved;
use crate::actions::sign_in::refusal_log::Refused;
use crate::domain::caller::Actor;
use crate::domain::event::{EventContent, FailedStage};
use crate::domain::factor::FactorKind;
use crate::domain::session::check_label;
use crate::domain::webauthn::{
    ALGORITHMS, Asked, Assertion, Attestation, Flags, KnownKey, NewKey, Refusal, RelyingParty, Signed, check_assertion,
    check_registration, encode,
};
use crate::domain::{FactorId, HashedSecret, Method, Methods, UserId, secret};
use crate::store::people::users::UserRow;
use crate::store::sessions::rows::LiveSession;
use crate::store::sign_in::factors::{FactorRow, NewFactor};
use crate::store::{Db, StoreError};

/// The name that browsers show for this server.
const PARTY_NAME: &str = "Rollcall";
/// The length of a user handle, in random bytes; WebAuthn allows 64.
const HANDLE_LENGTH: usize = 32;

/// What is stored of a passkey, apart from its id and its counter, which have columns of their own.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The public key (COSE), in URL-safe base64.
    key: String,
    /// Whether it may be copied to other devices of its owner.
    is_backup_eligible: bool,
    /// Whether it has been copied.
    is_backed_up: bool,
    /// Whether its authenticator verified the user when it was made.
    is_verified: bool,
    /// How browsers reach it.
    transports: Vec<String>,
    /// What model its authenticator says it is ([`stored_model`](crate::domain::webauthn::stored_model)); passkeys of
    /// older versions have none.
    #[serde(default)]
    model: String,
}

impl Kept {
    fn of(key: &NewKey) -> Self {
        Self {
            key: encode(&key.public_key),
            is_backup_eligible: key.flags.is_backup_eligible(),
            is_backed_up: key.flags.is_backed_up(),
            is_verified: key.flags.is_verified(),
            transports: key.transports.clone(),
            model: Uuid::from_bytes(key.model).to_string(),
        }
    }

    fn read(factor: &FactorRow) -> Result<Self, StoreError> {
        serde_json::from_slice(&factor.secret).map_err(|_| StoreError::Corrupt("a passkey"))
    }

    fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The options to make a passkey with (Level 3, 5.4).
///
/// # Errors
/// When the database does not answer.
pub async fn creation_options(
    app: &App,
    party: &RelyingParty,
    session: &LiveSession,
    purpose: Purpose<'_>,
) -> Result<Value, ActionError> {
    let (user, username) = (session.user_id, &session.username);
    let mut handle = vec![0; HANDLE_LENGTH];
    getrandom::fill(&mut handle)?;
    let handle = match app.store.read().find_user_handle(user).await? {
        Some(known) => known,
        None => app.store.write(move |db| Box::pin(async move { keep_handle(db, user, &handle).await })).await?,
    };
    let algorithms = ALGORITHMS.map(|algorithm| json!({ "type": "public-key", "alg": algorithm }));
    Ok(json!({
        "challenge": challenge::make(app, purpose)?,
        "rp": { "id": party.id, "name": PARTY_NAME },
        "user": { "id": encode(&handle), "name": username, "displayName": username },
        "pubKeyCredParams": algorithms,
        "timeout": millis(),
        "excludeCredentials": descriptors(app, user).await?,
        "authenticatorSelection": { "residentKey": "preferred", "requireResidentKey": false, "userVerification": "preferred" },
        "attestation": "none",
    }))
}

async fn keep_handle(db: &Db<'_>, user: UserId, handle: &[u8]) -> Result<Vec<u8>, ActionError> {
    db.insert_user_handle(user, handle).await?;
    db.find_user_handle(user).await?.ok_or(ActionError::NotFound)
}

/// The options to sign in with, for no particular user: any passkey of this server.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn options_alone(app: &App, party: &RelyingParty, purpose: Purpose<'_>) -> Result<Value, ActionError> {
    request_options(app, party, &[], purpose)
}

/// The options to prove with one of this user's passkeys. `None` when they have none.
///
/// # Errors
/// When the database does not answer.
pub async fn options_for(
    app: &App,
    party: &RelyingParty,
    user: UserId,
    purpose: Purpose<'_>,
) -> Result<Option<Value>, ActionError> {
    let allowed = descriptors(app, user).await?;
    if allowed.is_empty() {
        return Ok(None);
    }
    request_options(app, party, &allowed, purpose).map(Some)
}

/// Level 3, 5.5.
fn request_options(app: &App, party: &RelyingParty, allowed: &[Value], purpose: Purpose<'_>) -> Result<Value, ActionError> {
    Ok(json!({
        "challenge": challenge::make(app, purpose)?,
        "rpId": party.id,
        "timeout": millis(),
        "allowCredentials": allowed,
        "userVerification": if is_verification_required(purpose) { "required" } else { "preferred" },
    }))
}

/// After a password, possession of the key is enough.
fn is_verification_required(purpose: Purpose<'_>) -> bool {
    matches!(purpose, Purpose::SignIn(_))
}

fn millis() -> u64 {
    u64::try_from(challenge::LIVES.as_millis()).unwrap_or(u64::MAX)
}

/// A user's passkeys, as the options list them.
async fn descriptors(app: &App, user: UserId) -> Result<Vec<Value>, ActionError> {
    let mut all = Vec::new();
    for factor in list(app, user).await? {
        let transports = Kept::read(&factor)?.transports;
        let id = encode(factor.credential_id.as_deref().unwrap_or_default());
        all.push(json!({ "type": "public-key", "id": id, "transports": transports }));
    }
    Ok(all)
}

/// A user's passkeys, in the order they were added.
///
/// # Errors
/// When the database does not answer.
pub async fn list(app: &App, user: UserId) -> Result<Vec<FactorRow>, StoreError> {
    let mut factors = app.store.read().list_factors(user).await?;
    factors.retain(|factor| factor.kind == FactorKind::WebAuthn && factor.is_confirmed);
    Ok(factors)
}

/// A passkey to add.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// What its owner calls it.
    pub name: &'a str,
    /// What the browser answered.
    pub answer: &'a str,
}

/// Adds a passkey to the signed-in user; the session needs a recent re-authentication. What follows
/// is as for every second factor: recovery codes if there are none, and the end of the other
/// sessions if it is the first.
///
/// # Errors
/// [`ActionError::Forbidden`] without a fresh proof; [`ActionError::Label`] when the name breaks a
/// rule; [`ActionError::Passkey`] when the browser's answer is refused; [`ActionError::Rule`] when
/// the user has as many authenticators as allowed; [`ActionError::NotFound`] when the session ended
/// since the request began.
pub async fn add(
    app: &App,
    party: &RelyingParty,
    session: &LiveSession,
    keys: Vec<HashedSecret>,
    new: New<'_>,
    actor: &Actor,
) -> Result<Added, ActionError> {
    proof::must_be_fresh(app, session)?;
    let name = check_label(new.name)?;
    let name = if name.is_empty() { "Passkey".to_owned() } else { name };
    let answer = Attestation::parse(new.answer)?;
    let (challenge, bound_to) = (answer.challenge()?, session.uuid.to_string());
    let live = challenge::check(app, Purpose::Add(&bound_to), &challenge)?;
    let key = check_registration(&answer, Asked { party, challenge: &challenge, is_verification_required: false })?;
    let (app, session, now) = (app.clone(), session.clone(), app.clock.now());
    let actor = actor.as_user(session.user_id, &session.username);
    let store = app.store.clone();
    store
        .write(move |db| {
            Box::pin(async move {
                let user = proof::lock_holder(db, &session).await?;
                if !db.use_challenge(live.hash, live.expires_at).await? {
                    return Err(Refusal::Stale.into());
                }
                if db.find_factor_by_credential(&key.credential_id).await?.is_some() {
                    return Err(Refusal::Known.into());
                }
                factors::must_have_room_in(db, user.id).await?;
                let is_first = !db.has_factor(user.id).await?;
                let factor = new_factor(&key, user.id, name)?;
                db.insert_factor(&factor, now).await?;
                let factor = db.find_factor(factor.uuid).await?.ok_or(ActionError::NotFound)?;
                let change = Change { app: &app, session: &session, keys: &keys, actor: &actor, now };
                factors::added_in(db, &change, &factor, is_first, methods(key.flags)).await
            })
        })
        .await
}

fn new_factor(key: &NewKey, user: UserId, name: String) -> Result<NewFactor, ActionError> {
    Ok(NewFactor {
        uuid: FactorId(secret::random_uuid()?),
        user,
        kind: FactorKind::WebAuthn,
        name,
        secret: Kept::of(key).write(),
        credential_id: Some(key.credential_id.clone()),
        counter: i64::from(key.counter),
        is_confirmed: true,
    })
}

/// Proves with a passkey alone who the user is. The answer names the user, and the authenticator
/// verified them.
///
/// # Errors
/// [`ActionError::Passkey`] when the answer is refused.
pub async fn prove_alone(
    app: &App,
    party: &RelyingParty,
    purpose: Purpose<'_>,
    answer: &str,
    actor: &Actor,
) -> Result<Proved, ActionError> {
    let answer = Assertion::parse(answer)?;
    if answer.user_handle.is_none() {
        return Err(Refusal::User.into());
    }
    prove(app, party, None, purpose, &answer, actor).await
}

/// Proves that this user holds one of their passkeys.
///
/// # Errors
/// [`ActionError::Passkey`] when the answer is refused.
pub async fn prove_by(
    app: &App,
    party: &RelyingParty,
    user: UserId,
    purpose: Purpose<'_>,
    answer: &str,
    actor: &Actor,
) -> Result<Proved, ActionError> {
    let answer = Assertion::parse(answer)?;
    prove(app, party, Some(user), purpose, &answer, actor).await
}

async fn prove(
    app: &App,
    party: &RelyingParty,
    owner: Option<UserId>,
    purpose: Purpose<'_>,
    answer: &Assertion,
    actor: &Actor,
) -> Result<Proved, ActionError> {
    let db = app.store.read();
    let challenge = answer.challenge()?;
    let live = challenge::check(app, purpose, &challenge)?;
    let is_theirs = |factor: &FactorRow| factor.kind == FactorKind::WebAuthn && owner.is_none_or(|id| id == factor.user_id);
    let unknown = || {
        app.refusal_log.refused(Refused::Passkey, owner, actor);
        Refusal::Credential
    };
    let factor = db.find_factor_by_credential(&answer.credential_id).await?.filter(is_theirs).ok_or_else(unknown)?;
    let user = db.find_user(factor.user_id).await?.filter(|user| user.is_active).ok_or_else(unknown)?;
    let handle = db.find_user_handle(user.id).await?.ok_or_else(unknown)?;
    let kept = Kept::read(&factor)?;
    let public_key = crate::domain::webauthn::decode(&kept.key).ok_or(StoreError::Corrupt("a passkey's key"))?;
    let known = KnownKey {
        credential_id: &answer.credential_id,
        public_key: &public_key,
        counter: u32::try_from(factor.counter).unwrap_or(u32::MAX),
        is_backup_eligible: kept.is_backup_eligible,
        user_handle: &handle,
    };
    let asked = Asked { party, challenge: &challenge, is_verification_required: is_verification_required(purpose) };
    let outcome = match check_assertion(answer, known, asked) {
        Ok(signed) => use_up(app, factor, kept, signed, live).await?,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(methods) => Ok(Proved { user, methods }),
        Err(refusal) => {
            note_failure(app, &user, purpose, refusal, actor).await?;
            Err(refusal.into())
        }
    }
}

/// Uses a challenge up and updates its passkey's last use: of concurrent requests with one
/// challenge, one succeeds.
async fn use_up(
    app: &App,
    factor: FactorRow,
    mut kept: Kept,
    signed: Signed,
    live: Live,
) -> Result<Result<Methods, Refusal>, ActionError> {
    let now = app.clock.now();
    let is_news = kept.is_backed_up != signed.flags.is_backed_up() || (signed.flags.is_verified() && !kept.is_verified);
    kept.is_backed_up = signed.flags.is_backed_up();
    kept.is_verified |= signed.flags.is_verified();
    let methods = methods(signed.flags);
    app.store
        .write(move |db| {
            Box::pin(async move {
                if !db.use_challenge(live.hash, live.expires_at).await? {
                    return Ok(Err(Refusal::Stale));
                }
                // It may have been removed, or used elsewhere, since it was read.
                if db.find_factor(factor.uuid).await?.is_none() {
                    return Ok(Err(Refusal::Credential));
                }
                if signed.counter == 0 {
                    db.update_factor_used(factor.id, now).await?;
                } else if !db.advance_counter(factor.id, i64::from(signed.counter), now).await? {
                    return Ok(Err(Refusal::Counter));
                }
                if is_news {
                    db.update_factor_secret(factor.id, &kept.write()).await?;
                }
                Ok(Ok(methods))
            })
        })
        .await
}

/// What a signature proves: a key that stays in its device, or one that software stores and copies;
/// that the user was present; and, if the authenticator verified them, more than one factor.
fn methods(flags: Flags) -> Methods {
    let key = if flags.is_backup_eligible() { Method::SoftwareKey } else { Method::HardwareKey };
    let methods = Methods::default().with(key).with(Method::Presence);
    if flags.is_verified() { methods.with(Method::SeveralFactors) } else { methods }
}

/// Writes the event of a passkey that was refused, within a limit. A counter that went back is
/// always written: it needs a valid signature.
async fn note_failure(app: &App, user: &UserRow, purpose: Purpose<'_>, refusal: Refusal, actor: &Actor) -> Result<(), ActionError> {
    crate::metrics::count_sign_in("wrong");
    app.refusal_log.refused(Refused::Passkey, Some(user.id), actor);
    if refusal != Refusal::Counter && !guesses::is_worth_telling(app, user.id).await? {
        return Ok(());
    }
    let why = refusal.to_string();
    let content = if matches!(purpose, Purpose::Factor(_)) {
        EventContent::FactorFailed { why }
    } else {
        EventContent::SignInFailed { stage: FailedStage::Passkey, why }
    };
    let event = content.by(actor, app.clock.now()).about(user.id, &user.username);
    app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await?;
    Ok(())
}
