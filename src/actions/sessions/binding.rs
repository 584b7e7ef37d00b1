//! Bindings: sessions that are used from another network or place than the one where their users
//! authenticated.

use crate::actions::app::App;
use crate::actions::sessions::end_in::end_as;
use crate::domain::binding::{Move, MoveAction, Spot};
use crate::domain::caller::Actor;
use crate::domain::caller::Client;
use crate::domain::event::EventContent;
use crate::domain::{Address, EndReason, HashedSecret};
use crate::store::StoreError;
use crate::store::sessions::end::Which;
use crate::store::sessions::history::End;
use crate::store::sessions::rows::LiveSession;

/// Checks the binding of a session that is used from another address than the one where its user
/// authenticated; `None`: it holds. A session that was proved at an address without a place, such
/// as one of a private network, is bound to the first address that has one.
///
/// # Errors
/// When the database cannot be written; then the request is not let through.
pub(in crate::actions) async fn judge(
    app: &App,
    session: &LiveSession,
    client: &Client,
    request_id: &str,
) -> Result<Option<Move>, StoreError> {
    let to = spot(app, client.ip);
    if !to.is_known() {
        return Ok(None);
    }
    let stored = app.store.read().find_stored_limits().await?;
    let bindings = app.config.sessions_with(&stored).bindings();
    if !bindings.is_any() {
        return Ok(None);
    }
    let Some(from) = session.proved_ip.map(|ip| spot(app, ip)).filter(Spot::is_known) else {
        let (id, old, new) = (session.id, session.proved_ip, client.ip);
        app.store.write(move |db| Box::pin(async move { db.update_proved_ip(id, old, new).await })).await?;
        return Ok(None);
    };
    let Some(moved) = bindings.judge(&from, &to) else { return Ok(None) };
    let now = app.clock.now();
    if moved.action != MoveAction::End && app.moves.is_new(session.id, client.ip, now) {
        let content = EventContent::SessionMoved { what: moved.what.clone() };
        let event = content.by(&mover(client, request_id), now).about(session.user_id, &session.username).of_session(session.uuid);
        app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await?;
    }
    Ok(Some(moved))
}

/// Ends a session whose binding broke, unless it has another key by now: then its user has
/// re-authenticated.
///
/// # Errors
/// When the database cannot be written.
pub(in crate::actions) async fn end(
    app: &App,
    key: HashedSecret,
    why: Move,
    client: &Client,
    request_id: &str,
) -> Result<(), StoreError> {
    let actor = mover(client, request_id);
    let end = End { comment: why.what, ..End::by(&actor, app.clock.now(), EndReason::Moved) };
    app.store.write(move |db| Box::pin(async move { end_as(db, &Which::Key(key), 1, &end, &actor).await.map(drop) })).await
}

/// The actor: unknown, at this address.
fn mover(client: &Client, request_id: &str) -> Actor {
    Actor { ip: Some(client.ip), request_id: request_id.to_owned(), ..Actor::system() }
}

fn spot(app: &App, ip: Address) -> Spot {
    // A host may use IPv4 and, behind a translator, IPv6: that is no move.
    let ip = ip.effective();
    let network = app.geoip.autonomous_system(ip);
    let place = app.geoip.place(ip);
    let (continent, country, city) = place.map(|place| (place.continent, place.country, place.city)).unwrap_or_default();
    let (asn, network) = network.map(|network| (Some(network.number), network.network)).unwrap_or_default();
    Spot { ip, asn, network, continent, country, city }
}
