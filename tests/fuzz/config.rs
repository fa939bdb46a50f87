//! Configuration files: errors name the file and place, and nothing panics.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use keygate::testing::config::{Purpose, Resolved, load_prices};
use keygate::testing::usage::{Media, MediumTokens, ServiceTier, Usage};

use super::text;

fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() {
            tempfile::tempdir_in(shared)
        } else {
            tempfile::tempdir()
        };
        let folder = folder.expect("a folder").keep();
        for name in ["gateway.toml", "keys.toml", "prices.toml"] {
            let path = folder.join(name);
            std::fs::write(&path, "").expect("a file");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
                .expect("a mode");
        }
        folder
    })
}

fn load(name: &str, content: &str, gateway: &str) {
    let folder = folder();
    std::fs::write(folder.join(name), content).expect("a file");
    if name != "gateway.toml" {
        std::fs::write(folder.join("gateway.toml"), gateway).expect("a file");
    }
    for purpose in [Purpose::Start, Purpose::Reload] {
        if let Err(errors) = Resolved::load(&folder.join("gateway.toml"), purpose) {
            let message = errors.to_string();
            assert!(message.contains(".toml"), "no place: {message}");
        }
    }
}

pub fn read_gateway(bytes: &[u8]) {
    let text = text(bytes);
    // Skips references to files and environment variables, which depend on the machine.
    if text.contains("file:")
        || text.contains("env:")
        || text.contains("/dev")
        || text.contains("/proc")
    {
        return;
    }
    load("gateway.toml", text, "");
}

pub fn read_keys(bytes: &[u8]) {
    let gateway = "[providers.p]\nkind = \"openai\"\ntoken = \"key:t\"\n\
                   [[routes]]\nname = \"r\"\npath = \"/\"\nprovider = \"p\"\nkeys = { team = \"a\" }\n";
    let text = text(bytes);
    if text.contains("file:") || text.contains("env:") {
        return;
    }
    load("keys.toml", text, gateway);
}

pub fn read_prices(bytes: &[u8]) {
    let path = folder().join("prices.toml");
    std::fs::write(&path, text(bytes)).expect("a file");
    if let Ok(prices) = load_prices(&path) {
        let day = jiff::civil::date(2026, 11, 25);
        let audio = MediumTokens {
            input: 2,
            cache_read: 1,
            output: 1,
        };
        let usage = Usage {
            input: 300_000,
            output: 1,
            cache_read: 1,
            media: Media {
                audio,
                image: audio,
                ..Media::default()
            },
            service_tier: Some(ServiceTier::Flex),
            searches: 1,
            ..Usage::default()
        };
        for model in ["gpt-4o", "OpenAI/claude-sonnet-4-5"] {
            let _ = prices.cost("openai", model, day, &usage);
        }
    }
}
