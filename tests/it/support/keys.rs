//! Signing keys that are made once for all tests: those of RSA take seconds.

use std::sync::LazyLock;

use rollcall::domain::Timestamp;
use rollcall::domain::signing::{Algorithm, SigningKey, generate};
use rollcall::keys::InstanceKey;
use rollcall::store::StoreError;
use rollcall::store::signing::SigningKeyRow;

use super::TestApp;

/// Private halves, one for each algorithm.
static PRIVATE: LazyLock<[(Algorithm, Vec<u8>); 2]> =
    LazyLock::new(|| Algorithm::ALL.map(|algorithm| (algorithm, generate(algorithm).expect("a key"))));

impl TestApp {
    /// Gives the server a set of keys that signs from now on.
    pub async fn seed_keys(&self) {
        self.seed_keys_sealed_by(&self.app.instance_key.clone()).await;
    }

    /// The same with keys that another instance key sealed.
    pub async fn seed_keys_sealed_by(&self, instance_key: &InstanceKey) {
        let now = self.app.clock.now();
        let rows: Vec<SigningKeyRow> =
            PRIVATE.iter().map(|(algorithm, private)| row(*algorithm, private, instance_key, now)).collect();
        let added = self.app.store.write(move |db| {
            Box::pin(async move {
                db.lock_signing_keys().await?;
                for row in &rows {
                    db.insert_signing_key(row).await?;
                }
                Ok::<_, StoreError>(())
            })
        });
        added.await.expect("keys can be added");
    }
}

fn row(algorithm: Algorithm, private: &[u8], instance_key: &InstanceKey, now: Timestamp) -> SigningKeyRow {
    let public = SigningKey::read(algorithm, private).expect("a key").public().clone();
    let kid = public.thumbprint();
    SigningKeyRow {
        sealed: instance_key.seal("signing key", kid.as_bytes(), private).expect("randomness"),
        algorithm: algorithm.as_str().to_owned(),
        public_key: serde_json::to_string(&public).expect("JSON"),
        kid,
        created_at: now,
        signs_at: now,
    }
}
