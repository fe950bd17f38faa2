//! The files of deploy/ agree with the program, and with each other: commands, variables, ports, folders, probes,
//! spans of time, rights.
//!
//! What linters and schemas can say of them is deploy/check's; it also runs what they build and start.

use std::{collections::BTreeMap, ffi::OsString, fs, process::Command};

use callgate::{
    cli,
    config::{Config, SETTINGS, SettingsArgs, check_variables},
    grpc,
};
use serde_json::Value;

use crate::{
    docs::words,
    harness::Service,
    source::{package, read},
};

/// Within how many seconds the server has ended, whatever it had under way.
const END_S: u64 = 25;

/// The files of deploy/ that hold settings.
const FILES: [&str; 6] = [
    "deploy/Dockerfile",
    "deploy/compose.yaml",
    "deploy/kubernetes/statefulset.yaml",
    "deploy/systemd/callgate.service",
    "deploy/callgate.env.example",
    "deploy/README.md",
];

/// The documents of a YAML file.
fn yaml(file: &str) -> Vec<Value> {
    let text = read(file);
    let documents = text.split("\n---\n");
    documents
        .map(|text| serde_saphyr::from_str(text).unwrap_or_else(|fault| panic!("{file}: {fault}")))
        .collect()
}

fn stateful_set() -> Value {
    yaml("deploy/kubernetes/statefulset.yaml").remove(0)
}

fn composed() -> Value {
    yaml("deploy/compose.yaml").remove(0)["services"]["callgate"].take()
}

/// The instructions of the Dockerfile: name and the rest, continued lines joined.
fn dockerfile() -> Vec<(String, String)> {
    let text = read("deploy/Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let text = lines.join("\n").replace("\\\n", " ");
    let named = text.lines().filter_map(|line| line.split_once(' '));
    named.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect()
}

/// The instructions of the last stage that have a name.
fn of_the_image(name: &str) -> Vec<String> {
    let all = dockerfile();
    let last = all.iter().rposition(|(name, _)| name == "FROM").expect("a stage");
    all[last..].iter().filter(|(of, _)| of == name).map(|(_, rest)| rest.clone()).collect()
}

/// The values of a key of the unit.
fn unit(key: &str) -> Vec<String> {
    let text = read("deploy/systemd/callgate.service");
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned).collect()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|word| word.as_str().expect("a text").to_owned()).collect()
}

fn variables(of: impl IntoIterator<Item = (String, String)>) -> BTreeMap<OsString, OsString> {
    of.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn of_pairs(lines: impl IntoIterator<Item = String>) -> BTreeMap<OsString, OsString> {
    variables(lines.into_iter().map(|line| {
        let (name, value) = line.split_once('=').expect("a name and a value");
        (name.to_owned(), value.to_owned())
    }))
}

fn image_variables() -> BTreeMap<OsString, OsString> {
    of_pairs(of_the_image("ENV"))
}

fn composed_variables() -> BTreeMap<OsString, OsString> {
    let service = composed();
    let own = service["environment"].as_object().expect("variables").iter();
    let own = own.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()));
    image_variables().into_iter().chain(variables(own)).collect()
}

fn container() -> Value {
    stateful_set()["spec"]["template"]["spec"]["containers"][0].take()
}

fn pod_variables() -> BTreeMap<OsString, OsString> {
    let of = |entry: &Value, key: &str| entry[key].as_str().expect("a text").to_owned();
    let container = container();
    let own = container["env"].as_array().expect("variables").iter();
    let own = own.map(|entry| (of(entry, "name"), of(entry, "value")));
    image_variables().into_iter().chain(variables(own)).collect()
}

/// The settings that a server has with these variables and these words after `serve`.
fn settings(variables: BTreeMap<OsString, OsString>) -> Config {
    Config::load(&SettingsArgs::default(), variables).unwrap_or_else(|fault| panic!("{fault}"))
}

fn assert_understood(words: &[String]) {
    let program = ["callgate".to_owned()];
    let line: Vec<&String> = program.iter().chain(words).collect();
    let parsed = cli::command().try_get_matches_from(&line);
    assert!(parsed.is_ok(), "{line:?}: {}", parsed.unwrap_err());
}

/// The seconds of a span such as `30s`.
fn seconds(span: &str) -> u64 {
    span.strip_suffix('s').expect("seconds").parse().expect("a number")
}

fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).expect("a list of words")
}

#[test]
fn every_variable_in_deploy_is_known_to_the_program() {
    let mut count = 0;
    for file in FILES {
        let text = read(file);
        for rest in text.split("CALLGATE_").skip(1) {
            let end = rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next();
            let name = OsString::from(format!("CALLGATE_{}", end.unwrap_or_default()));
            let known = check_variables([(name.as_os_str(), "x".as_ref())]);
            assert!(known.is_ok(), "{file}: {}", known.unwrap_err());
            count += 1;
        }
    }
    assert!(count > SETTINGS.len(), "only {count} variables were found");
}

#[test]
fn every_command_in_deploy_is_understood_by_the_program() {
    let path = "/usr/bin/callgate";
    assert_eq!(list(&of_the_image("ENTRYPOINT")[0]), [path]);
    assert_understood(&list(&of_the_image("CMD")[0]));
    let check = of_the_image("HEALTHCHECK").remove(0);
    let check = list(check.split_once("CMD ").expect("a command").1);
    assert_eq!(check[0], path);
    assert_understood(&check[1..]);
    assert_understood(&strings(&composed()["command"]));
    assert_understood(&strings(&container()["args"]));
    let start = words(&unit("ExecStart")[0]);
    assert_eq!(start[0], path);
    assert_understood(&start[1..]);
}

#[test]
fn the_servers_listen_where_they_are_looked_for() {
    let exposed = of_the_image("EXPOSE").remove(0);
    let by_default = settings(BTreeMap::new()).server.listen;
    let port = by_default.port();
    assert_eq!(exposed, format!("{port} {}", port + 1));
    // From inside its own container the check asks the address that clients ask by default.
    let composed_settings = settings(composed_variables());
    assert_eq!(composed_settings.server.listen.port(), port);
    assert!(composed_settings.server.listen.ip().is_unspecified() && composed_settings.server.insecure);
    assert_eq!(strings(&composed()["ports"]), [format!("127.0.0.1:{port}:{port}")], "loopback alone");

    let pod = settings(pod_variables()).server;
    assert!(pod.listen.ip().is_unspecified() && pod.insecure);
    let container = container();
    let ports: BTreeMap<&str, u64> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap()))
        .collect();
    assert_eq!(ports["grpc"], u64::from(pod.listen.port()));
    assert_eq!(ports["health"], u64::from(pod.health_listen.expect("a health listener").port()));
    for service in yaml("deploy/kubernetes/service.yaml") {
        assert_eq!(service["spec"]["ports"][0]["port"], ports["grpc"]);
        assert_eq!(service["spec"]["ports"][0]["targetPort"], "grpc");
    }
    // Beyond loopback is said in the unit's environment file, never by the unit.
    let of_the_unit = settings(of_pairs(unit("Environment"))).server;
    assert!(of_the_unit.listen.ip().is_loopback() && !of_the_unit.insecure);
}

#[test]
fn the_probes_ask_the_health_listener_for_what_it_tells() {
    let container = container();
    let health = settings(pod_variables()).server.health_listen.expect("a health listener").port();
    for (probe, service) in
        [("startupProbe", grpc::LIVENESS), ("livenessProbe", grpc::LIVENESS), ("readinessProbe", "")]
    {
        let asked = &container[probe]["grpc"];
        assert_eq!(asked["port"], u64::from(health), "{probe}");
        assert_eq!(asked["service"].as_str().unwrap_or_default(), service, "{probe}");
        assert!(grpc::READINESS.contains(&service) || service == grpc::LIVENESS);
    }
}

#[test]
fn whoever_ends_a_server_waits_until_it_has_ended() {
    let pod = stateful_set()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
    assert!(pod.unwrap() > END_S);
    assert!(seconds(composed()["stop_grace_period"].as_str().unwrap()) > END_S);
    assert!(unit("TimeoutStopSec")[0].parse::<u64>().unwrap() > END_S);
    assert_eq!(of_the_image("STOPSIGNAL"), ["SIGTERM"]);
}

#[test]
fn the_data_lies_on_the_volume_and_nothing_else_is_writable() {
    let mount = of_the_image("VOLUME").remove(0);
    let inside =
        |config: &Config| config.server.data_dir.starts_with(&mount) && config.server.data_dir != mount;
    assert!(inside(&settings(image_variables())));
    assert!(inside(&settings(composed_variables())));
    assert_eq!(strings(&composed()["volumes"]), [format!("data:{mount}")]);
    assert_eq!(composed()["read_only"], true);

    assert!(inside(&settings(pod_variables())));
    let container = container();
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let of = |name: &str| mounts.iter().find(|mount| mount["name"] == name).expect("a mount").clone();
    assert_eq!(of("data")["mountPath"], mount.as_str());
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    let set = stateful_set();
    let claim = &set["spec"]["volumeClaimTemplates"][0];
    assert_eq!(
        (&claim["metadata"]["name"], &claim["spec"]["accessModes"][0]),
        (&"data".into(), &"ReadWriteOnce".into())
    );

    let state = format!("/var/lib/{}", unit("StateDirectory")[0]);
    assert_eq!(settings(of_pairs(unit("Environment"))).server.data_dir.to_str(), Some(state.as_str()));
    assert_eq!(
        (unit("StateDirectoryMode")[0].as_str(), unit("ProtectSystem")[0].as_str()),
        ("0700", "strict")
    );
}

#[test]
fn the_secret_is_mounted_where_the_first_credentials_are_looked_for() {
    let container = container();
    let arguments = strings(&container["args"]);
    let [_, flag, folder] = arguments.as_slice() else { panic!("{arguments:?}") };
    assert_eq!(flag, "--bootstrap-dir");
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let mount = mounts.iter().find(|mount| mount["mountPath"] == folder.as_str()).expect("a mount");
    let set = stateful_set();
    let pod = &set["spec"]["template"]["spec"];
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]);
    let secret = volume.expect("a volume")["secret"]["secretName"].as_str().expect("a secret");
    let made =
        format!("kubectl create secret generic {secret} --from-file=gate.token --from-file=admin_user.token");
    assert!(read("deploy/README.md").contains(&made), "deploy/README.md makes it");
}

#[test]
fn nobody_runs_with_rights_it_does_not_need() {
    let user = of_the_image("USER").remove(0);
    assert_eq!(composed()["user"], user.as_str());
    assert_eq!(composed()["cap_drop"][0], "ALL");
    assert_eq!(composed()["security_opt"][0], "no-new-privileges:true");
    let set = stateful_set();
    let pod = &set["spec"]["template"]["spec"];
    let of_pod = &pod["securityContext"];
    assert_eq!(format!("{}:{}", of_pod["runAsUser"], of_pod["runAsGroup"]), user);
    assert_eq!(
        (&of_pod["runAsNonRoot"], &of_pod["seccompProfile"]["type"]),
        (&true.into(), &"RuntimeDefault".into())
    );
    let of_container = container()["securityContext"].take();
    assert_eq!(of_container["capabilities"]["drop"][0], "ALL");
    assert_eq!(
        (&of_container["allowPrivilegeEscalation"], &pod["automountServiceAccountToken"]),
        (&false.into(), &false.into())
    );
    // More replicas would be more databases.
    assert_eq!(set["spec"]["replicas"], 1);
    assert_eq!(
        (unit("NoNewPrivileges"), unit("CapabilityBoundingSet")),
        (vec!["yes".to_owned()], vec![String::new()])
    );
}

#[test]
fn images_and_toolchains_are_those_of_the_package() {
    let image = concat!("callgate:", env!("CARGO_PKG_VERSION"));
    assert_eq!(composed()["image"], image);
    assert_eq!(container()["image"], image);
    let all = dockerfile();
    let base = &all.iter().find(|(name, _)| name == "FROM").expect("a stage").1;
    let oldest = concat!("rust:", env!("CARGO_PKG_RUST_VERSION"), ".");
    assert!(base.starts_with(oldest), "{base} isn't {oldest}…");
}

#[test]
fn the_build_gets_what_it_needs_and_nothing_else() {
    let ignored = read(".dockerignore");
    let rules: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rules[0], "*");
    for name in &rules[1..] {
        let name = name.strip_prefix('!').expect("a name that is let in");
        assert!(package().join(name).exists(), "there is no {name}");
    }
    for name in ["Cargo.toml", "Cargo.lock", "build.rs", "src", "proto", "migrations"] {
        assert!(rules.contains(&format!("!{name}").as_str()), "{name} is not let in");
    }
}

#[test]
fn every_file_of_deploy_is_named_in_its_readme() {
    let readme = read("deploy/README.md");
    for folder in ["deploy", "deploy/systemd"] {
        for entry in fs::read_dir(package().join(folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let is_file = entry.file_type().expect("its type").is_file();
            let name = entry.file_name().into_string().expect("a name");
            assert!(
                !is_file || name == "README.md" || readme.contains(&format!("{name}](")),
                "deploy/README.md leaves out {name}"
            );
        }
    }
}

#[test]
fn the_health_command_names_all_that_can_be_asked_about() {
    let help = Command::new(env!("CARGO_BIN_EXE_callgate")).args(["health", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for name in grpc::READINESS.into_iter().chain([grpc::LIVENESS, grpc::DISK_RESERVE]) {
        assert!(name.is_empty() || help.contains(&format!("`{name}`")), "{name}: {help}");
    }
}

#[test]
fn what_the_unit_names_as_documentation_is_installed_with_it() {
    let (unit, steps) = (read("deploy/systemd/callgate.service"), read("deploy/README.md"));
    for path in unit.lines().filter_map(|line| line.strip_prefix("Documentation=file:")) {
        assert!(steps.lines().any(|step| step.contains("install") && step.ends_with(path)), "{path}");
    }
}

#[tokio::test]
async fn the_health_command_says_by_its_exit_code_how_a_server_is() {
    let mut service = Service::start().await;
    let address = service.address.clone();
    let ask = async |of: &'static str| {
        let address = address.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
            command.env_clear().args(["health", "--address", &address, "--service", of]);
            command.output().expect("the program runs")
        });
        let output = asked.await.expect("an answer");
        (String::from_utf8(output.stdout).expect("text"), output.status.code())
    };
    assert_eq!(ask("").await, ("SERVING\n".to_owned(), Some(0)));
    assert_eq!(ask(grpc::LIVENESS).await, ("SERVING\n".to_owned(), Some(0)));
    assert_eq!(ask(grpc::DISK_RESERVE).await, ("SERVING\n".to_owned(), Some(0)));
    assert_eq!(ask("nothing.of.that.Name").await, (String::new(), Some(13)));
    service.stop().await;
    assert_eq!(ask("").await, (String::new(), Some(14)));
}
