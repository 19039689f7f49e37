//! What a checkpoint says of itself.

use std::path::Path;

use densesiam_fixtures::fuzz::Target;

#[path = "../../crates/engine/src/checkpoint/error.rs"]
#[allow(dead_code, reason = "what writes checkpoints is not fuzzed")]
mod error;
#[path = "../../crates/engine/src/checkpoint/manifest.rs"]
#[allow(dead_code, reason = "what writes checkpoints is not fuzzed")]
#[allow(clippy::module_inception, reason = "the name that it has in its crate")]
mod manifest;

/// `manifest.json` of a checkpoint.
pub const MANIFEST: Target =
    Target { name: "manifest", read: read_manifest, most_memory: |bytes| (64 << 10) + 256 * bytes };

fn read_manifest(bytes: &[u8]) {
    match manifest::Manifest::parse(bytes, Path::new("manifest.json")) {
        Ok(manifest) => {
            for record in manifest.files.values() {
                let _ = record.verify(Path::new("model.safetensors"), bytes);
            }
        }
        Err(error) => {
            assert!(error.is_damage() || matches!(error, error::CheckpointError::FormatVersion { .. }));
            drop(error.to_string());
        }
    }
}
