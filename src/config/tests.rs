use std::{ffi::OsStr, fs, net::SocketAddr, path::Path, time::Duration};

use clap::{Args as _, Command, FromArgMatches as _};

use super::*;
use crate::telemetry::Format;

fn flags(words: &[&str]) -> SettingsArgs {
    let command = SettingsArgs::augment_args(Command::new("serve").no_binary_name(true));
    SettingsArgs::from_arg_matches(&command.get_matches_from(words)).unwrap()
}

fn flag_error(words: &[&str]) -> String {
    let command = SettingsArgs::augment_args(Command::new("serve").no_binary_name(true));
    command.try_get_matches_from(words).unwrap_err().to_string()
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn from_variables(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&SettingsArgs::default(), variables(pairs))
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    let keys = file::parse(Path::new("settings.toml"), text)?;
    Config::read(&Layers { flags: &BTreeMap::new(), environment: &BTreeMap::new(), keys: &keys })
}

fn message<T: fmt::Debug>(result: Result<T, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn without_any_layer_the_defaults_hold() {
    let config = from_variables(&[("PATH", "/bin"), ("HOME", "")]).unwrap();
    assert_eq!(config.server.data_dir, Path::new("./callgate-data"));
    assert_eq!(config.server.listen, "127.0.0.1:50051".parse::<SocketAddr>().unwrap());
    assert_eq!(config.server.health_listen, None);
    assert_eq!(config.server.policy, None);
    assert!(!config.server.insecure);
    assert!(config.approval.workflow_enabled);
    assert_eq!(config.approval.timeout, Duration::from_mins(5));
    assert_eq!(config.approval.polling_interval, Duration::from_secs(1));
    assert_eq!(config.approval.max_pending, 50);
    assert_eq!(config.approval.max_pending_per_user, 10);
    assert_eq!(config.approval.requests_per_minute, 30);
    assert_eq!(config.authorize.requests_per_second, 1000);
    assert_eq!(config.approval.arguments_max, 262_144);
    assert_eq!(config.store.journal_size_limit, 67_108_864);
    assert_eq!(config.log.format, Format::Text);
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callgate.toml");
    fs::write(&path, "approval_timeout = 10\ncool_down = \"10s\"\ngrant_timeout = 10\n").unwrap();
    let args = flags(&["--config", path.to_str().unwrap(), "--approval-timeout", "30s"]);
    let environment = [("CALLGATE_APPROVAL_TIMEOUT", "20"), ("CALLGATE_COOL_DOWN", "20")];
    let config = Config::load(&args, variables(&environment)).unwrap();
    assert_eq!(config.approval.timeout, Duration::from_secs(30));
    assert_eq!(config.approval.cool_down, Duration::from_secs(20));
    assert_eq!(config.approval.grant_timeout, Duration::from_secs(10));
    assert_eq!(config.authorize.allow_use_within, Duration::from_secs(10));
}

#[test]
fn the_file_of_the_flag_wins_over_that_of_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("flag"), "cool_down = 1").unwrap();
    fs::write(path("variable"), "cool_down = 2").unwrap();
    let environment = || variables(&[(FILE_VARIABLE, &path("variable"))]);
    let config = Config::load(&SettingsArgs::default(), environment()).unwrap();
    assert_eq!(config.approval.cool_down, Duration::from_secs(2));
    let config = Config::load(&flags(&["--config", &path("flag")]), environment()).unwrap();
    assert_eq!(config.approval.cool_down, Duration::from_secs(1));
}

#[test]
fn every_setting_is_a_flag_a_variable_and_a_key() {
    for setting in SETTINGS {
        let flag = format!("--{}={}", setting.flag(), setting.default);
        assert_eq!(flags(&[&flag]).values.get(setting.name).unwrap(), setting.default);
        from_variables(&[(&setting.variable(), setting.default)]).unwrap();
        from_file(&format!("{} = {:?}", setting.name, setting.default)).unwrap();
        assert!(message(from_file(&format!("{} = [1]", setting.name))).contains("wrong kind"));
    }
    SettingsArgs::augment_args(Command::new("serve")).debug_assert();
}

#[test]
fn each_bound_is_allowed_and_nothing_beyond_it() {
    for setting in SETTINGS {
        let Some((least, greatest)) = setting.bounds else { continue };
        for text in [least, greatest] {
            assert_eq!((setting.check)(text), Ok(()), "{} {text}", setting.name);
        }
        let read_in_steps = |text: &str| match setting.unit().as_str() {
            "duration" => u64::try_from(values::duration(text).unwrap().as_millis()).unwrap(),
            "bytes" => values::bytes(text).unwrap(),
            _ => values::count(text).unwrap(),
        };
        let step = if setting.unit() == "duration" { "ms" } else { "" };
        let beyond = [read_in_steps(least).checked_sub(1), read_in_steps(greatest).checked_add(1)];
        for steps in beyond.into_iter().flatten() {
            let problem = (setting.check)(&format!("{steps}{step}")).unwrap_err();
            assert_eq!(problem, format!("is out of bounds, give {least} to {greatest}"), "{}", setting.name);
        }
    }
}

#[test]
fn numbers_have_bounds() {
    for setting in SETTINGS {
        let is_number = ["duration", "bytes", "count"].contains(&setting.unit().as_str());
        assert_eq!(setting.bounds.is_some(), is_number, "{}", setting.name);
    }
}

#[test]
fn an_error_names_the_layer_it_comes_from() {
    assert_eq!(
        message(from_variables(&[("CALLGATE_APPROVAL_TIMEOUT", "4s")])),
        "environment variable `CALLGATE_APPROVAL_TIMEOUT`: `4s` is out of bounds, give 5s to 7d"
    );
    assert_eq!(
        message(from_file("\n# a comment\napproval_timeout = \"soon\"\n")),
        "`settings.toml`, line 3: `approval_timeout`: `soon` is no duration, give whole seconds or a number \
         with `ms`, `s`, `m`, `h` or `d`, such as `90s`"
    );
    let error = flag_error(&["--approval-timeout", "4s"]);
    assert!(error.contains("--approval-timeout") && error.contains("give 5s to 7d"), "{error}");
    assert!(flag_error(&["--approval-timeuot", "9s"]).contains("--approval-timeout"));
}

#[test]
fn hostile_values_are_shown_escaped_and_cut() {
    let value = format!("\u{1b}[2J{}", "x".repeat(100));
    let message = message(from_variables(&[("CALLGATE_LISTEN", &value)]));
    assert!(message.contains("`\\u{1b}[2Jxxx") && message.contains("… (40 characters more)`"), "{message}");
}

#[test]
fn unknown_variables_are_refused_with_the_likeliest_name() {
    assert_eq!(
        message(from_variables(&[("CALLGATE_APROVAL_TIMEOUT", "9")])),
        "unknown environment variable `CALLGATE_APROVAL_TIMEOUT`, did you mean `CALLGATE_APPROVAL_TIMEOUT`? \
         otherwise unset it"
    );
    assert_eq!(
        message(from_variables(&[("CALLGATE_COLOUR_OF_BUTTONS", "")])),
        "unknown environment variable `CALLGATE_COLOUR_OF_BUTTONS`, unset it"
    );
    assert!(from_variables(&[("CALLGATE_PORT", "50051")]).is_err());
    assert!(from_variables(&[("callgate_x", "1"), ("XCALLGATE_", "1")]).is_ok());
}

#[test]
fn variables_of_other_commands_and_of_service_links_are_left_alone() {
    for name in OTHER_VARIABLES {
        assert!(check_variables([(OsStr::new(name), OsStr::new("x"))]).is_ok(), "{name}");
    }
    let links = [
        ("CALLGATE_SERVICE_HOST", "10.0.0.1"),
        ("CALLGATE_SERVICE_PORT_GRPC", "50051"),
        ("CALLGATE_PORT", "tcp://10.0.0.1:50051"),
        ("CALLGATE_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("CALLGATE_TOKEN", ""),
    ];
    assert!(from_variables(&links).is_ok());
}

#[test]
fn a_variable_that_is_empty_or_no_text_is_refused_by_name() {
    assert_eq!(
        message(from_variables(&[("CALLGATE_POLICY", "")])),
        "environment variable `CALLGATE_POLICY` is empty, unset it or give it a value"
    );
    let value = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
    let result = Config::load(&SettingsArgs::default(), [("CALLGATE_POLICY".into(), value)]);
    assert_eq!(message(result), "environment variable `CALLGATE_POLICY` is not UTF-8");
}

#[test]
fn unknown_keys_are_refused_with_their_line() {
    assert_eq!(
        message(from_file("cool_down = 1\n\ncooldown = 2\n")),
        "`settings.toml`, line 3: unknown key `cooldown`, did you mean `cool_down`?"
    );
    assert_eq!(
        message(from_file("[approval]\ntimeout = 1")),
        "`settings.toml`, line 1: unknown key `approval`"
    );
}

#[test]
fn a_file_that_is_no_toml_or_is_not_there_is_refused() {
    assert!(message(from_file("cool_down = 1\ncool_down = 2\n")).starts_with("`settings.toml`, line 2: "));
    assert!(message(from_file("cool_down = 1\ncool_down\n")).starts_with("`settings.toml`, line 2: "));
    let missing = from_variables(&[(FILE_VARIABLE, "/does/not/exist.toml")]);
    assert!(message(missing).starts_with("cannot read the settings file `/does/not/exist.toml`: "));
}

#[test]
fn a_default_page_longer_than_the_longest_is_refused() {
    let pairs = [("CALLGATE_PAGE_SIZE_DEFAULT", "101"), ("CALLGATE_PAGE_SIZE_MAX", "100")];
    assert_eq!(
        message(from_variables(&pairs)),
        "`page_size_default` must not be greater than `page_size_max`"
    );
}

#[test]
fn a_switch_is_on_by_its_flag_alone() {
    let load = |words: &[&str]| Config::load(&flags(words), []).unwrap();
    assert!(load(&["--insecure"]).server.insecure);
    assert!(!load(&["--insecure", "false"]).server.insecure);
    assert!(!load(&["--approval-workflow-enabled=false", "--insecure"]).approval.workflow_enabled);
    assert!(flag_error(&["--insecure=yes"]).contains("possible values"));
}

/// Holds a generated file to what is generated, or writes it.
fn assert_generated(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{file} is out of date, run `UPDATE_DOCS=1 cargo test --lib settings_page`");
}

#[test]
fn the_settings_page_matches_the_table() {
    assert_generated("docs/SETTINGS.md", &Config::reference());
}

#[test]
fn the_settings_page_has_an_example_of_variables_that_matches_the_table() {
    let example = Config::environment_example();
    assert_generated("deploy/callgate.env.example", &example);
    let uncommented = example.lines().filter_map(|line| line.strip_prefix("#CALLGATE_"));
    let pairs = uncommented.filter_map(|line| line.split_once('='));
    let variables = pairs.map(|(name, value)| (format!("CALLGATE_{name}").into(), value.into()));
    let variables: Vec<(OsString, OsString)> = variables.collect();
    assert_eq!(variables.len(), SETTINGS.len());
    let defaults = Config::load(&SettingsArgs::default(), []).unwrap();
    assert_eq!(Config::load(&SettingsArgs::default(), variables).unwrap(), defaults);
}
