//! Model, state and intent become a DAG of idempotent steps with durations and a critical path.
