//! Every command and flag of the command line.

use clap::{Arg, ArgAction, Command};

use super::table::{code, joined, sentence, table};

/// Every flag of the program without a command, and of each of its commands.
pub(super) fn flags(command: &Command) -> String {
    let mut text = String::new();
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text.extend(["### `", command.get_name(), "`\n\n", &sentence(&about), "\n"]);
        let shown = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
        let rows: Vec<_> = command.get_arguments().filter(shown).map(row).collect();
        if !rows.is_empty() {
            text.extend(["\n", &table(["Flag", "Default", "Meaning"], rows)]);
        }
        text.push('\n');
    }
    text
}

fn row(arg: &Arg) -> [String; 3] {
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let value = || arg.get_value_names().into_iter().flatten().map(ToString::to_string).next().unwrap_or_default();
    let name = match arg.get_long() {
        Some(long) if takes_value => format!("--{long} {}", value()),
        Some(long) => format!("--{long}"),
        None => value(),
    };
    let default = match arg.get_default_values() {
        [] if arg.is_required_set() => "required".to_owned(),
        [] if takes_value => String::new(),
        [] => "off".to_owned(),
        values if takes_value => joined(values.iter().map(|value| code(&value.to_string_lossy()))),
        _ => "off".to_owned(),
    };
    let mut meaning = sentence(&arg.get_help().map(ToString::to_string).unwrap_or_default());
    let choices: Vec<_> = arg.get_possible_values();
    if takes_value && !choices.is_empty() {
        let choices = joined(choices.iter().map(|choice| code(choice.get_name())));
        meaning.extend([" One of ", &choices, "."]);
    }
    [code(&name), default, meaning]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_shown_with_its_value_its_default_and_its_choices() {
        let level = Arg::new("level").long("log.level").default_value("info").value_parser(["info", "warn"]);
        let command = Command::new("exporter").subcommand(
            Command::new("run")
                .about("Run it")
                .arg(level.value_name("LEVEL").help("Least severe messages"))
                .arg(Arg::new("still").long("still").action(ArgAction::SetTrue).help("Keep still"))
                .arg(Arg::new("account").required(true).value_name("ACCOUNT").help("Which account")),
        );
        assert_eq!(
            flags(&command),
            "### `run`\n\nRun it.\n\n| Flag | Default | Meaning |\n| --- | --- | --- |\n\
             | `--log.level LEVEL` | `info` | Least severe messages. One of `info`, `warn`. |\n\
             | `--still` | off | Keep still. |\n| `ACCOUNT` | required | Which account. |\n\n"
        );
    }
}
