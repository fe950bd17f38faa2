//! The layer of flags: one for each setting, flattened into `callgate serve`.
//!
//! The flags are made from the table, so they can't differ from it. Clap doesn't read the environment here: a
//! message about a variable must name the variable and not the flag, and tests must be able to pass one.

use std::{collections::BTreeMap, path::PathBuf, sync::LazyLock};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, builder::PossibleValuesParser, value_parser};

use super::{FILE_VARIABLE, SETTINGS, Setting};

/// What the command line says about settings. Every value has been read once, and is kept as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsArgs {
    /// The TOML file.
    pub(super) config: Option<PathBuf>,
    /// By the name of the setting.
    pub(super) values: BTreeMap<&'static str, String>,
}

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(format!("Reads settings from this TOML file [env: {FILE_VARIABLE}]"));
        command.arg(config).args(FLAGS.iter().map(Flag::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        if let Some(config) = matches.get_one::<PathBuf>("config") {
            self.config = Some(config.clone());
        }
        for setting in SETTINGS {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                self.values.insert(setting.name, value.clone());
            }
        }
        Ok(())
    }
}

/// The group that the short help shows: what a first start needs. `--help` shows everything.
const SHORT_HELP_GROUP: &str = "The server";

/// The names that clap wants to borrow for as long as the process lives.
static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| SETTINGS.iter().map(Flag::new).collect());

struct Flag {
    setting: &'static Setting,
    long: String,
    value_name: String,
}

impl Flag {
    fn new(setting: &'static Setting) -> Self {
        let value_name = setting.unit().to_uppercase().replace(' ', "_");
        Self { setting, long: setting.flag(), value_name }
    }

    fn arg(&'static self) -> Arg {
        let setting = self.setting;
        let help =
            format!("{} [env: {}] [default: {}]", setting.meaning(), setting.variable(), setting.default);
        let arg = Arg::new(setting.name)
            .long(self.long.as_str())
            .value_name(self.value_name.as_str())
            .help(help)
            .help_heading(setting.group())
            .hide_short_help(setting.group() != SHORT_HELP_GROUP);
        if setting.unit() == "switch" {
            return arg
                .num_args(0..=1)
                .default_missing_value("true")
                .value_parser(PossibleValuesParser::new(["true", "false"]));
        }
        arg.value_parser(move |text: &str| {
            (setting.check)(text)?;
            Ok::<String, String>(text.to_owned())
        })
    }
}
