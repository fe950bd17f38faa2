//! docs/SETTINGS.md and deploy/callgate.env.example, from the table of settings.

use super::{Config, FILE_VARIABLE, OTHER_VARIABLES, SETTINGS, Setting};

const INTRODUCTION: &str = "\
# Settings

Generated from `src/config/table.rs` by `UPDATE_DOCS=1 cargo test --lib settings_page`; a test holds it to the table.

A setting is a flag of `callgate serve`, an environment variable, or a key of the TOML file that `--config FILE` or
`CALLGATE_CONFIG` names; where several say something, the first of these wins. The flag is the key with dashes:
`approval_timeout = \"90s\"` is `--approval-timeout 90s`. Unknown flags, keys and `CALLGATE_…` variables are refused,
and so are values out of bounds. A variable that is set must not be empty.

* duration: whole seconds, or a whole number with `ms`, `s`, `m`, `h` or `d`: `90`, `90s`, `100ms`
* bytes: whole bytes, or a whole number with `KiB`, `MiB` or `GiB`: `262144`, `256KiB`
* switch: `true` or `false`; the flag alone is `true`
* address: an IP address and a port: `127.0.0.1:50051`, `[::1]:50051`
* path: a relative one counts from the working directory
* `none`: no address, no path

Bounds belong to what is allowed.
";

const EXAMPLE_INTRODUCTION: &str = "\
# Every variable of `callgate serve` with its default, for systemd's EnvironmentFile and for containers' env files.
# Uncomment what should differ. docs/SETTINGS.md has the bounds; flags win over variables, variables over the file that
# CALLGATE_CONFIG names.
#
# Generated from `src/config/table.rs` by `UPDATE_DOCS=1 cargo test --lib settings_page`; a test holds it to the table.
";

const TABLE_HEAD: &str = "\
| key | variable | default | unit | bounds | meaning |
| --- | --- | --- | --- | --- | --- |
";

impl Config {
    /// The page that documents every setting, as Markdown.
    #[must_use]
    pub fn reference() -> String {
        let mut parts = vec![INTRODUCTION.to_owned()];
        let mut group = "";
        for setting in SETTINGS {
            if setting.group() != group {
                group = setting.group();
                parts.push(format!("\n## {group}\n\n{TABLE_HEAD}"));
            }
            parts.push(row(setting));
        }
        let others: Vec<String> = OTHER_VARIABLES
            .iter()
            .filter(|name| **name != FILE_VARIABLE)
            .map(|name| format!("`{name}`"))
            .collect();
        let others = others.join(", ");
        parts.push(format!("\n## Variables of other commands\n\nThe server leaves these alone: {others}.\n"));
        parts.concat()
    }

    /// A file of variables that shows every setting with its default, each behind a `#`.
    #[must_use]
    pub fn environment_example() -> String {
        let mut parts = vec![EXAMPLE_INTRODUCTION.to_owned()];
        let mut group = "";
        for setting in SETTINGS {
            if setting.group() != group {
                group = setting.group();
                parts.push(format!("\n## {group}\n"));
            }
            parts.push(format!("\n# {}\n#{}={}\n", setting.meaning(), setting.variable(), setting.default));
        }
        parts.concat()
    }
}

fn row(setting: &Setting) -> String {
    let bounds =
        setting.bounds.map(|(least, greatest)| format!("`{least}` to `{greatest}`")).unwrap_or_default();
    format!(
        "| `{}` | `{}` | `{}` | {} | {bounds} | {} |\n",
        setting.name,
        setting.variable(),
        setting.default,
        setting.unit(),
        setting.meaning(),
    )
}
