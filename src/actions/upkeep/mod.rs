//! What keeps the database in order while the server runs. Each is one call of a job (`src/jobs`), and done by
//! [`By::System`](crate::actions::by::By).

pub mod change_log;
pub mod dictionary;
pub mod pending_ends;
pub mod places;
pub mod sweep;
pub mod user_agents;
