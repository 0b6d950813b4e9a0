//! The reference as Markdown: metrics, reasons, providers, the configuration and the command line, generated from
//! what the program itself runs on, so that the documents cannot say anything else.

mod answers;
mod flags;
mod keys;
mod metrics;
mod providers;
mod table;

use crate::providers::find;

/// The whole reference, as one document.
pub fn all(command: &clap::Command) -> String {
    let parts = [
        ("Metrics", metrics::metrics()),
        ("Providers", providers::providers()),
        ("Configuration", keys::configuration()),
        ("Command line", flags::flags(command)),
    ];
    parts.map(|(title, text)| format!("# {title}\n\n{}\n", text.trim_end())).join("\n")
}

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- /generated -->";

/// The document with each of its generated parts brought up to date; an error if it has none.
///
/// A part stands between `<!-- generated: NAME -->` and `<!-- /generated -->`, each on a line of its own.
pub fn update(document: &str, command: &clap::Command) -> Result<String, String> {
    let mut pieces = document.split(BEGIN);
    let mut updated = pieces.next().unwrap_or_default().to_owned();
    let mut parts = 0;
    for piece in pieces {
        let (name, rest) =
            piece.split_once(" -->\n").ok_or("a mark of a generated part is not on a line of its own")?;
        let (_, after) = rest.split_once(END).ok_or_else(|| format!("the generated part {name} has no end"))?;
        let text = part(name, command).ok_or_else(|| format!("there is no generated part {name}"))?;
        updated.extend([BEGIN, name, " -->\n\n", text.trim_end(), "\n\n", END, after]);
        parts += 1;
    }
    if parts == 0 { Err("there are no marks of a generated part in it".to_owned()) } else { Ok(updated) }
}

/// A generated part by its name: one word, or a word and an API.
fn part(name: &str, command: &clap::Command) -> Option<String> {
    Some(match name.split_once(' ') {
        None => match name {
            "metrics" => metrics::metrics(),
            "providers" => providers::providers(),
            "hosts" => providers::hosts(),
            "configuration" => keys::configuration(),
            "flags" => flags::flags(command),
            _ => return None,
        },
        Some((part, api)) => {
            let facts = find(api)?.facts();
            match part {
                "facts" => providers::facts(facts),
                "keys" => keys::of_the_api(api),
                "example" => answers::example(api)?,
                "answers" => answers::answers(api),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> clap::Command {
        clap::Command::new("balance-exporter").subcommand(clap::Command::new("run").about("run it"))
    }

    #[test]
    fn generated_text_replaces_what_stood_between_its_marks() {
        let document = "# A\n\n<!-- generated: flags -->\nold\n<!-- /generated -->\n\nmiddle\n\n\
            <!-- generated: facts payby -->\n<!-- /generated -->\nend\n";
        let updated = update(document, &command()).unwrap();
        assert!(
            updated.starts_with("# A\n\n<!-- generated: flags -->\n\n### `run`\n\nRun it.\n\n<!-- /generated -->\n")
        );
        assert!(updated.contains("\n\nmiddle\n\n<!-- generated: facts payby -->\n\n| Fact | Value |\n"));
        assert!(updated.ends_with(" |\n\n<!-- /generated -->\nend\n") && !updated.contains("old"));
        assert_eq!(update(&updated, &command()), Ok(updated), "twice is once");
    }

    #[test]
    fn marks_must_be_there_and_belong_together() {
        for (document, wrong) in [
            ("", "no marks"),
            ("<!-- generated: metrics -->\nno end", "no end"),
            ("<!-- /generated -->\n<!-- generated: metrics -->\n", "no end"),
            ("<!-- generated: metrics -->\n<!-- generated: providers -->\n<!-- /generated -->\n", "no end"),
            ("<!-- generated: metrics --> <!-- /generated -->", "line of its own"),
            ("<!-- generated: metric -->\n<!-- /generated -->\n", "no generated part metric"),
            ("<!-- generated: facts -->\n<!-- /generated -->\n", "no generated part facts"),
            ("<!-- generated: facts nobody -->\n<!-- /generated -->\n", "no generated part facts nobody"),
        ] {
            let refused = update(document, &command()).unwrap_err();
            assert!(refused.contains(wrong), "{document}: {refused}");
        }
    }

    #[test]
    fn the_whole_has_every_part() {
        let text = all(&command());
        for part in ["balance_amount", "Bridge AGW", "stale_after", "### `run`"] {
            assert!(text.contains(part), "{part}");
        }
    }
}
