//! SPEC.
