//! Events: what is recorded of what happened. An event has a kind, content typed by the kind, and a
//! text that is made from both ([`text`]).
//!
//! The content is stored as a JSON object. Every field has a default, so that an erased event and one
//! of another version can be read. A new field is added with its default's meaning in mind.

mod application;
mod kinds;
pub mod masked;
mod parts;
mod stored;
pub mod text;

pub use parts::{
    Change, Changes, ConfirmedBy, FailedStage, FilterTerms, GuessLimit, SignInRefusal, SourceAlert, added, differences, removed,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::application::session::AppEndReason;
use crate::domain::binding::{GeoipBinding, NetworkBinding};
use crate::domain::event::kinds::event_kinds;
use crate::domain::policy::Policy;
use crate::domain::session::EndReason;

event_kinds! {
    /// A user signed in.
    SignIn = "sign_in" {
        /// How the user authenticated: words of RFC 8176, separated by blanks.
        methods: String,
    }
    /// A sign-in failed.
    SignInFailed = "sign_in_failed" {
        /// Where.
        stage: FailedStage,
        /// What was wrong with a passkey, in words, or `""`.
        why: String,
    }
    /// A rate limit on guesses was reached.
    SignInLimited = "sign_in_limited" {
        /// Which.
        limit: GuessLimit,
    }
    /// A user signed out.
    SignOut = "sign_out" {}
    /// A session was ended. The word is older than the vocabulary of ends: revoking is one of the reasons.
    SessionEnded = "session_revoked" {
        /// Why.
        reason: EndReason,
        /// Why, as a comment of the person who ended it, or `""`.
        comment: String,
    }
    /// Many sessions were ended together. The events of the single ends are its parts.
    SessionsEnded = "sessions_ended" {
        /// Which sessions.
        filter: FilterTerms,
        /// How many there were when it began.
        expected: u64,
        /// How many ended; null while it goes on.
        count: Option<u64>,
        /// How many users they belonged to; null while it goes on.
        users: Option<u64>,
        /// Why.
        reason: EndReason,
        /// Why, as a comment of the person who ended them, or `""`.
        comment: String,
    }
    /// A session of a watched authentik was ended from here.
    SourceSessionEnded = "source_session_ended" {
        /// The name of the source.
        source: String,
        /// Why, as a comment of the person who ended it, or `""`.
        comment: String,
    }
    /// Many sessions of a watched authentik were ended from here. The events of the single ends are its parts.
    SourceSessionsEnded = "source_sessions_ended" {
        /// The name of the source.
        source: String,
        /// Which sessions.
        filter: FilterTerms,
        /// How many there were when it began.
        expected: u64,
        /// How many ended; null while it goes on.
        count: Option<u64>,
        /// Why, as a comment of the person who ended them, or `""`.
        comment: String,
    }
    /// A session of a watched authentik was to be ended from here, and was still there afterwards.
    SourceEndFailed = "source_end_failed" {
        /// The name of the source.
        source: String,
        /// What went wrong, in words.
        why: String,
    }
    /// Another authentik was taken in the place of the one that was watched.
    SourceReplaced = "source_replaced" {
        /// The name of the source.
        source: String,
        /// The address of the new one.
        url: String,
        /// How many sessions of the one before were forgotten: whether they ended is not known.
        sessions: u64,
        /// Of how many ends that somebody had asked for it will not be known what became of them.
        ends: u64,
    }
    /// Something at a watched authentik deserves a look.
    SourceAlert = "source_alert" {
        /// The name of the source.
        source: String,
        /// What.
        alert: SourceAlert,
        /// More about it, in words.
        detail: String,
    }
    /// A session expired.
    SessionExpired = "session_expired" {}
    /// A session was used from another network or place than it is bound to.
    SessionMoved = "session_moved" {
        /// What changed, such as `AS2 instead of AS1`.
        what: String,
    }
    /// A session was given a name.
    SessionNamed = "session_named" {
        /// The new name; `""`: none any more.
        name: String,
    }
    /// A user was added.
    UserAdded = "user_added" {
        /// What is said of them, without secrets.
        changes: Changes,
    }
    /// A user's password was set.
    PasswordSet = "password_set" {}
    /// A link was made with which a user sets a password.
    RecoveryLinkMade = "recovery_link_made" {}
    /// A user was activated.
    UserActivated = "user_activated" {}
    /// A user was deactivated.
    UserDeactivated = "user_deactivated" {}
    /// A user was changed.
    UserChanged = "user_changed" {
        /// What, without secrets.
        changes: Changes,
    }
    /// A user was removed.
    UserRemoved = "user_removed" {
        /// What they were and might do: their flags, groups and permissions.
        changes: Changes,
    }
    /// A group was added.
    GroupAdded = "group_added" {
        /// Its name.
        group: String,
        /// Its uuid, 32 hexadecimal digits.
        group_uuid: String,
        /// How many members it has.
        members: u64,
        /// What is said of it, its members aside.
        changes: Changes,
        /// The uuids of its members.
        added: Vec<String>,
    }
    /// A group was changed, or who is in it.
    GroupChanged = "group_changed" {
        /// Its name now.
        group: String,
        /// Its uuid, 32 hexadecimal digits.
        group_uuid: String,
        /// What, its members aside.
        changes: Changes,
        /// The uuids of new members.
        added: Vec<String>,
        /// The uuids of users who are members no longer.
        removed: Vec<String>,
    }
    /// A group was removed.
    GroupRemoved = "group_removed" {
        /// Its name.
        group: String,
        /// Its uuid, 32 hexadecimal digits.
        group_uuid: String,
        /// How many members it had.
        members: u64,
        /// What was said of it, its members aside.
        changes: Changes,
        /// The uuids of those who were its members.
        removed: Vec<String>,
    }
    /// A user was erased: it is not recorded which.
    UserErased = "user_erased" {
        /// Whether the user did it.
        is_own: bool,
    }
    /// A user asked to be removed.
    RemovalAsked = "removal_asked" {}
    /// A user took back that they asked to be removed.
    RemovalWithdrawn = "removal_withdrawn" {}
    /// An administrator declined to remove a user who had asked for it.
    RemovalDeclined = "removal_declined" {}
    /// A sign-in with a right password was refused.
    SignInRefused = "sign_in_refused" {
        /// Why.
        reason: SignInRefusal,
    }
    /// A signed-in user authenticated again.
    Confirmed = "confirmed" {
        /// By what.
        by: ConfirmedBy,
    }
    /// A second factor was added.
    FactorAdded = "factor_added" {
        /// Its name.
        name: String,
    }
    /// A second factor was removed by its owner.
    FactorRemoved = "factor_removed" {
        /// Its name.
        name: String,
    }
    /// All second factors of a user were removed by an administrator.
    FactorsReset = "factors_reset" {
        /// How many there were.
        count: u64,
    }
    /// A second factor was not proved.
    FactorFailed = "factor_failed" {
        /// What was wrong with a passkey, in words; `""`: it was a code.
        why: String,
    }
    /// A recovery code was used.
    RecoveryCodeUsed = "recovery_code_used" {
        /// How many are left.
        left: u64,
    }
    /// A user made new recovery codes.
    RecoveryCodesRenewed = "recovery_codes_renewed" {}
    /// The policy of a group or a user was set.
    PolicySet = "policy_set" {
        /// The group; null: the user that the event is about.
        group: Option<String>,
        /// The policy before; null: an earlier version did not record it.
        before: Option<Policy>,
        /// The new policy.
        policy: Policy,
    }
    /// Limits of the instance were stored.
    InstancePolicySet = "instance_policy_set" {
        /// The policy before.
        before: Policy,
        /// The new policy.
        policy: Policy,
        /// What sessions are bound to from now on; null: as before.
        network_binding: Option<NetworkBinding>,
        /// The same of places.
        geoip_binding: Option<GeoipBinding>,
        /// How long a browser stays known from now on, in seconds; null: as before.
        known_device_lifetime: Option<u64>,
    }
    /// A token was added.
    TokenAdded = "token_added" {
        /// Its identifier.
        token: String,
        /// Its uuid, 32 hexadecimal digits.
        token_uuid: String,
        /// What is said of it, and what it may do, without its key.
        changes: Changes,
    }
    /// A token was removed.
    TokenRemoved = "token_removed" {
        /// Its identifier.
        token: String,
        /// Its uuid, 32 hexadecimal digits.
        token_uuid: String,
        /// What was said of it, and what it might do.
        changes: Changes,
    }
    /// A token was changed.
    TokenChanged = "token_changed" {
        /// Its identifier.
        token: String,
        /// Its uuid, 32 hexadecimal digits.
        token_uuid: String,
        /// The names of what changed, separated by blanks.
        fields: String,
        /// What, without keys.
        changes: Changes,
    }
    /// The key of a token was shown.
    TokenKeyShown = "token_key_shown" {
        /// Its identifier.
        token: String,
        /// Its uuid, 32 hexadecimal digits.
        token_uuid: String,
    }
    /// A token was kept from ending more sessions one by one.
    EndsRefused = "ends_refused" {
        /// Its identifier.
        token: String,
        /// How many sessions it had ended in that minute.
        sessions: u64,
        /// How many users they belonged to.
        users: u64,
    }
    /// An application was added.
    ApplicationAdded = "application_added" {
        /// Its slug.
        application: String,
        /// Its name.
        name: String,
        /// Its uuid, 32 hexadecimal digits.
        application_uuid: String,
    }
    /// An application was changed.
    ApplicationChanged = "application_changed" {
        /// Its slug now.
        application: String,
        /// Its uuid, 32 hexadecimal digits.
        application_uuid: String,
        /// The names of what changed.
        fields: Vec<String>,
    }
    /// An application was removed.
    ApplicationRemoved = "application_removed" {
        /// Its slug.
        application: String,
        /// Its uuid, 32 hexadecimal digits.
        application_uuid: String,
    }
    /// A guard that no application has was added, changed or removed.
    GuardChanged = "guard_changed" {
        /// Its name.
        guard: String,
        /// `added`, `changed` or `removed`.
        act: String,
    }
    /// A client that no application has was added, changed or removed.
    ClientChanged = "client_changed" {
        /// Its name.
        client: String,
        /// `added`, `changed` or `removed`.
        act: String,
    }
    /// A session opened an application for the first time, or another host of it.
    ApplicationOpened = "application_opened" {
        /// Its slug.
        application: String,
        /// The guarded host; null: its client was opened.
        host: Option<String>,
        /// The client; null: a guarded host was opened.
        client_id: Option<String>,
        /// The scopes of the client, separated by blanks, or `""`.
        scope: String,
    }
    /// A user was kept from opening an application.
    AccessRefused = "access_refused" {
        /// Its slug.
        application: String,
        /// The path rule that decided, counted from 1; null: the application's own access.
        rule: Option<u64>,
        /// What was missing, in words of `Missing`, separated by blanks.
        reason: String,
    }
    /// A user was kept from an application, since the names of their groups fill more than identity headers may.
    IdentityTooLarge = "identity_too_large" {
        /// Its slug.
        application: String,
        /// How many groups the user is in.
        groups: u64,
        /// How many bytes the headers would take.
        bytes: u64,
    }
    /// A session's use of an application was ended, without the session.
    AppSessionEnded = "app_session_ended" {
        /// Its slug.
        application: String,
        /// Why.
        reason: AppEndReason,
        /// How many app sessions ended.
        count: u64,
    }
    /// A secret of a client was added.
    ClientSecretAdded = "client_secret_added" {
        /// The application's slug; `""`: the client has none.
        application: String,
    }
    /// Secrets of a client were removed.
    ClientSecretRemoved = "client_secret_removed" {
        /// The application's slug; `""`: the client has none.
        application: String,
    }
    /// A user agreed that an app gets what these scopes give.
    ConsentGiven = "consent_given" {
        /// The application's slug.
        application: String,
        /// All scopes that the user agreed to, separated by blanks.
        scope: String,
    }
    /// A user took that back, or an administrator did.
    ConsentWithdrawn = "consent_withdrawn" {
        /// The application's slug.
        application: String,
        /// The scopes, separated by blanks.
        scope: String,
    }
    /// A code or a refresh token was used a second time.
    TokenReused = "token_reused" {
        /// The application's slug.
        application: String,
        /// `code` or `refresh_token`.
        kind: String,
    }
    /// An app was not told that sessions of its ended, and no more is tried.
    NoticeGivenUp = "notice_given_up" {
        /// The application's slug.
        application: String,
        /// How often it was tried; 0: not once, since the app could not be reached.
        tries: u64,
        /// What the last try came to.
        error: String,
        /// Of how many ends; 0: of one, by an earlier version.
        count: u64,
    }
    /// A key that signs was made in place of another one.
    KeysRotated = "keys_rotated" {
        /// What names the new key.
        kid: String,
        /// Its algorithm, such as `ES256`.
        algorithm: String,
        /// From when it signs, in RFC 3339.
        signs_at: String,
    }
    /// Data was imported, or generated.
    Import = "import" {
        /// How many users. Those who are administrators have parts of their own.
        users: u64,
        /// How many groups.
        groups: u64,
        /// How many tokens.
        tokens: u64,
        /// How many sessions.
        sessions: u64,
        /// How many applications.
        applications: u64,
        /// Whether it is load data of `rollcall generate`.
        is_generated: bool,
    }
    /// A backup was restored. What happened between it and this event is not in the database any more.
    Restored = "restored" {
        /// When the backup was made, in RFC 3339.
        made_at: String,
        /// The version that made it.
        version: String,
        /// How many users are in it.
        users: u64,
        /// How many sessions are in it.
        sessions: u64,
        /// Whether they live on.
        keeps_sessions: bool,
    }
}

#[cfg(test)]
mod tests;
