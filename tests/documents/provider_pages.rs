//! The pages about providers: there is one for each, its commands make what its configurations need, and its
//! configurations are accepted with that.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use balance_exporter::providers::ALL;

use super::document::{ROOT, blocks, documents, files, read};
use super::shell::{commands, ours, typed};

/// What a reader downloads rather than makes, and what stands for it here.
const DOWNLOADED: [(&str, &str); 1] = [("payby.platform.pem", "tests/vectors/key.pub.pem")];
/// What makes a secret; each is given one on its standard input.
const MAKERS: [&str; 2] = ["openssl", "install"];

fn pages() -> Vec<(&'static str, String)> {
    ALL.iter().map(|api| api.facts().name).map(|name| (name, read(&format!("docs/providers/{name}.md")))).collect()
}

fn run(command: &mut Command) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // who needs no secret does not read it
    let _ = child.stdin.take().unwrap().write_all(b"stands-for-a-secret\n");
    child.wait_with_output().unwrap()
}

#[test]
fn every_provider_has_its_page_with_every_generated_part() {
    let names: BTreeSet<_> = ALL.iter().map(|api| api.facts().name.to_owned()).collect();
    let pages_: BTreeSet<_> = files("docs/providers", ".md")
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, pages_);
    for (name, text) in pages() {
        for part in ["facts", "keys", "example", "answers"] {
            assert!(text.contains(&format!("\n<!-- generated: {part} {name} -->\n")), "{name}: {part}");
        }
    }
}

#[test]
fn what_a_page_tells_to_do_gives_a_configuration_that_is_accepted() {
    for (name, text) in pages() {
        let directory = tempfile::tempdir().unwrap();
        let blocks = blocks(&text);
        let lines: Vec<_> =
            blocks.iter().filter(|block| block.info == "console").flat_map(|block| typed(&block.text)).collect();
        let mut fingerprints = Vec::new();
        for line in lines.iter().filter(|line| MAKERS.contains(&commands(line)[0][0].as_str())) {
            let script = format!("set -euo pipefail; umask 077; {line}");
            let output = run(Command::new("bash").args(["-c", &script]).current_dir(directory.path()));
            let trouble = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {line}: {trouble} (this test needs openssl and coreutils)");
            if line.ends_with("dgst -sha256") {
                let printed = String::from_utf8(output.stdout).unwrap();
                fingerprints.extend(printed.split_whitespace().last().map(str::to_owned));
            }
        }
        for (file, stand_in) in DOWNLOADED.into_iter().filter(|(file, _)| text.contains(file)) {
            let file = directory.path().join(file);
            fs::copy(Path::new(ROOT).join(stand_in), &file).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let configurations: Vec<_> = blocks.iter().filter(|block| block.info == "yaml exporter.yaml").collect();
        assert_eq!(configurations.len(), 2, "{name}: the least, and everything");
        for configuration in configurations {
            fs::write(directory.path().join("exporter.yaml"), &configuration.text).unwrap();
            let checks: Vec<_> = lines.iter().filter(|line| line.starts_with("balance-exporter check ")).collect();
            assert_eq!(checks.len(), 1, "{name}: {checks:?}");
            let words = commands(checks[0]).remove(0);
            let mut check = Command::new(env!("CARGO_BIN_EXE_balance-exporter"));
            let output = run(check.args(ours(&words).unwrap()).current_dir(directory.path()));
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            for fingerprint in &fingerprints {
                assert!(printed.contains(fingerprint), "{name}: check does not show {fingerprint}\n{printed}");
            }
        }
    }
}

#[test]
fn the_second_configuration_of_a_page_has_every_key_of_its_api() {
    for (name, text) in pages() {
        let (_, table) = text.split_once(&format!("<!-- generated: keys {name} -->")).unwrap();
        let (table, _) = table.split_once("<!-- /generated -->").unwrap();
        let everything =
            &blocks(&text).into_iter().filter(|block| block.info == "yaml exporter.yaml").nth(1).unwrap().text;
        for path in table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()) {
            let key = path.rsplit('.').next().unwrap();
            let written = everything.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|word| word == key);
            // a connection to Dialog has one of two means, and a login one of three
            let other_means = name == "dialog" && ["token", "login.refresh_token"].contains(&path);
            // the wallets that share the account's currency
            let shared = name == "bridge" && ["currencies.payout", "currencies.collection"].contains(&path);
            assert!(written || other_means || shared, "docs/providers/{name}.md: no example has {path}");
        }
    }
}

#[test]
fn the_configurations_of_every_document_are_told_apart_from_other_yaml() {
    for document in documents() {
        for block in blocks(&document.text).iter().filter(|block| block.info == "yaml") {
            let keys = block.text.lines().any(|line| line.starts_with("providers:"));
            assert!(
                !keys,
                "{}: call the block `yaml exporter.yaml`, so that it is checked\n{}",
                document.name, block.text
            );
        }
    }
}
