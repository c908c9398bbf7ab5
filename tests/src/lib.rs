//! Whole-house tests live in `it/`.
