//! What is kept, and what is not.
