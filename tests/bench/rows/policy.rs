//! The policy: what one decision costs and what a large policy takes, within a process; then through gRPC an organisation
//! of 100,000 users beside a small one, changes of single users in it, and an API of 10,000 endpoints beside one of ten.

mod decision;
pub mod memory;

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, ensure};
use callgate::{
    client::Client,
    domain::policy::BUILTIN,
    proto::v1::{
        AddUser, AuthorizeEndpointRequest, ChangeDirectoryRequest, Decision, DepartmentPlace, DirectoryEdit,
        EndpointDecision, Membership, Subject, UpdateUser, directory_edit::Edit,
    },
};

use super::{
    Bench, USERS,
    gate_calls::{self, Turn},
    user,
};
use crate::{
    load::{AUTHORIZE_ENDPOINT, Call, Load, Target, Until},
    organisation::{Organisation, person, with_endpoints},
    process,
    report::Row,
    samples::{Samples, Spread, float, ms},
    say,
    service::Service,
};

const PART: &str = "policy";

/// Which share of the small policy's calls the large one should reach.
const RATIO: f64 = 0.90;
const RATIO_GOAL: &str = "≥ 0.90";

/// How long one user's change may take, in milliseconds.
const CHANGE_MS: f64 = 50.0;
const CHANGE_GOAL: &str = "max < 50 ms";

/// How many users are disabled and enabled again.
const CHANGED: u32 = 200;

/// How many edits are in one request: as many as may be.
const EDITS: usize = 1_000;

/// How many endpoint entries there are, and in the small API.
const ENDPOINTS: u32 = 10_000;
const FEW_ENDPOINTS: u32 = 10;

/// A server, and what it is asked.
struct Side {
    service: Service,
    target: Target,
    calls: Arc<[Call]>,
}

/// Two that take turns.
struct Pair {
    small: Side,
    large: Side,
}

/// One figure of the two, in one round.
struct Round {
    small: f64,
    large: f64,
    small_us: f64,
    large_us: f64,
}

/// Measures it.
pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let whole = Organisation::LARGE;
    let organisation = Organisation { users: bench.scale.count(whole.users), ..whole };
    // No server runs meanwhile.
    let mut rows = decision::measure(&bench.scale, &organisation)?;
    rows.push(memory::measure(&organisation)?);
    rows.extend(compared_organisations(bench, organisation).await?);
    rows.push(endpoints(bench).await?);
    Ok(rows)
}

async fn compared_organisations(bench: &Bench, organisation: Organisation) -> anyhow::Result<Vec<Row>> {
    let small = bench.with_users(&bench.folder.join("policy-small")).await?;
    let large =
        bench.with_policy(&bench.folder.join("policy-large"), &organisation.document(BUILTIN)).await?;
    let start = Instant::now();
    let requests = fill(&large.admin()?, &organisation).await?;
    let filled = start.elapsed().as_secs_f64();
    say(&format!("   {} users came in {filled:.0} s and {requests} requests", organisation.users));
    let asked = |name: &dyn Fn(u32) -> String| -> anyhow::Result<Arc<[Call]>> {
        let call =
            |number| Call::authorize(&gate_calls::request(&name(number), "list_files"), Decision::Allow);
        (0..USERS).map(call).collect()
    };
    // Users from everywhere, and the same ones each time.
    let spread = |number: u32| person(number * (organisation.users / USERS));
    let pair = Pair {
        small: Side { target: small.target()?, calls: asked(&user)?, service: small },
        large: Side { target: large.target()?, calls: asked(&spread)?, service: large },
    };
    let rounds = pair.rounds(bench).await?;
    let memory = float(process::resident_bytes(pair.large.service.pid)?) / 1024.0 / 1024.0;
    let small_memory = float(process::resident_bytes(pair.small.service.pid)?) / 1024.0 / 1024.0;
    let what = "AuthorizeTool, 256 in flight, 100,000 users, 1,000 departments, 10,000 permissions: of the small policy's calls a second";
    let row = compared(what, "", &rounds)
        .figure("memory_mib", memory)
        .figure("small_memory_mib", small_memory)
        .figure("users", f64::from(organisation.users))
        .figure("fill_s", filled);
    let row = Row { measured: format!("{}; {memory:.0} MiB of {small_memory:.0} MiB", row.measured), ..row };
    let changes = changes(bench, &pair.large.service, &organisation).await?;
    pair.stop().await?;
    Ok(vec![row, changes])
}

/// Puts everybody in, many at a time; how many requests that took.
async fn fill(admin: &Client, organisation: &Organisation) -> anyhow::Result<usize> {
    let mut edits = vec![];
    for (department, parent, role) in organisation.departments() {
        let parent = parent.unwrap_or_default();
        edits.push(Edit::AddDepartment(DepartmentPlace { department: department.clone(), parent }));
        edits.push(belongs("", &department, &role));
    }
    for number in 0..organisation.users {
        let user = person(number);
        edits.push(Edit::AddUser(AddUser { user: user.clone(), ..Default::default() }));
        edits.push(belongs(&user, &organisation.department_of(number), ""));
        edits.push(belongs(&user, "", &organisation.role_of(number)));
    }
    let mut requests = 0;
    for some in edits.chunks(EDITS) {
        change(admin, some.to_vec()).await?;
        requests += 1;
    }
    Ok(requests)
}

fn belongs(user: &str, department: &str, role: &str) -> Edit {
    Edit::AddMembership(Membership { user: user.into(), department: department.into(), role: role.into() })
}

async fn change(admin: &Client, edits: Vec<Edit>) -> anyhow::Result<()> {
    let edits = edits.into_iter().map(|edit| DirectoryEdit { edit: Some(edit) }).collect();
    let request = ChangeDirectoryRequest { edits, ..Default::default() };
    let changed = admin.policy().change_directory(request).await.context("a change was refused")?;
    ensure!(changed.into_inner().changed, "a change changes nothing");
    Ok(())
}

/// Disables users and enables them again, and asks about each at once.
async fn changes(bench: &Bench, service: &Service, organisation: &Organisation) -> anyhow::Result<Row> {
    let (admin, gate) = (service.admin()?, service.gate()?);
    let (mut acknowledged, mut in_force) = (Samples::default(), Samples::default());
    let count = bench.scale.count(CHANGED);
    // The first call makes the connections.
    gate.gate().authorize_tool(gate_calls::request(&person(0), "list_files")).await?;
    for (number, enabled) in (0..count).flat_map(|number| [(number, false), (number, true)]) {
        let user = person(number * (organisation.users / count));
        let start = Instant::now();
        let edit =
            Edit::UpdateUser(UpdateUser { user: user.clone(), enabled: Some(enabled), ..Default::default() });
        change(&admin, vec![edit]).await?;
        acknowledged.push(start.elapsed());
        let answer = gate.gate().authorize_tool(gate_calls::request(&user, "list_files")).await?;
        in_force.push(start.elapsed());
        let decision = answer.into_inner().decision();
        let expected = if enabled { Decision::Allow } else { Decision::Deny };
        ensure!(decision == expected, "after the change the answer is {decision:?}");
    }
    let (acknowledged, in_force) = (acknowledged.sorted(), in_force.sorted());
    let row = Row::new(
        PART,
        "one user's change with 100,000 users stored, acknowledged",
        format!(
            "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms of {}; with the answer to the user's next call p50 {:.1} ms, max {:.1} ms",
            ms(acknowledged.p50()),
            ms(acknowledged.p99()),
            ms(acknowledged.max()),
            count * 2,
            ms(in_force.p50()),
            ms(in_force.max()),
        ),
    );
    Ok(row
        .goal(CHANGE_GOAL, ms(acknowledged.max()) < CHANGE_MS)
        .figure("change_p50_ms", ms(acknowledged.p50()))
        .figure("change_p99_ms", ms(acknowledged.p99()))
        .figure("change_max_ms", ms(acknowledged.max()))
        .figure("in_force_p50_ms", ms(in_force.p50()))
        .figure("in_force_max_ms", ms(in_force.max())))
}

async fn endpoints(bench: &Bench) -> anyhow::Result<Row> {
    let many = bench.scale.count(ENDPOINTS);
    let start = |name: &'static str, count: u32| {
        let document = with_endpoints(BUILTIN, count);
        let data = bench.folder.join(name);
        async move { bench.with_policy(&data, &document).await }
    };
    let small = start("policy-few-endpoints", FEW_ENDPOINTS).await?;
    let large = start("policy-endpoints", many).await?;
    let asked = |things: u32| -> anyhow::Result<Arc<[Call]>> {
        let call = |number: u32| {
            let subject = Some(Subject { user: "dev_user".into(), ..Default::default() });
            let path = format!("/v1/t{}/{number}/part_{}", number % things, 3 + number % 7);
            let request =
                AuthorizeEndpointRequest { subject, method: "GET".into(), path, ..Default::default() };
            Call::endpoint(&request, EndpointDecision::Permit)
        };
        (0..256).map(call).collect()
    };
    let target = |service: &Service| anyhow::Ok(Target { path: AUTHORIZE_ENDPOINT, ..service.target()? });
    let pair = Pair {
        small: Side { target: target(&small)?, calls: asked(FEW_ENDPOINTS / 10)?, service: small },
        large: Side { target: target(&large)?, calls: asked(many / 10)?, service: large },
    };
    let rounds = pair.rounds(bench).await?;
    pair.stop().await?;
    let what = "AuthorizeEndpoint, 256 in flight, 10,000 patterns: of the calls a second with ten";
    Ok(compared(what, "endpoint_", &rounds).figure("endpoints", f64::from(many)))
}

impl Side {
    async fn turn(&self, load: Load) -> anyhow::Result<Turn> {
        gate_calls::turn(&self.target, self.service.pid, load, &self.calls).await
    }
}

impl Pair {
    async fn rounds(&self, bench: &Bench) -> anyhow::Result<Vec<Round>> {
        let load = Load::many(Until::Passed(bench.scale.turn));
        let mut rounds = vec![];
        // The first one only warms up.
        for number in 0..=bench.scale.rounds {
            let (small, large) = (self.small.turn(load).await?, self.large.turn(load).await?);
            if number > 0 {
                rounds.push(Round {
                    small: small.rate,
                    large: large.rate,
                    small_us: small.server_us,
                    large_us: large.server_us,
                });
            }
        }
        Ok(rounds)
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.small.service.stop().await?;
        self.large.service.stop().await
    }
}

fn compared(what: &str, prefix: &str, rounds: &[Round]) -> Row {
    let spread = |of: fn(&Round) -> f64| Spread::of(&rounds.iter().map(of).collect::<Vec<_>>());
    let ratio = spread(|round| round.large / round.small.max(1.0));
    let (small, large) = (spread(|round| round.small), spread(|round| round.large));
    let (small_us, large_us) = (spread(|round| round.small_us), spread(|round| round.large_us));
    let measured = format!(
        "{:.2} ({:.2} to {:.2}): {:.0}/s of {:.0}/s; server CPU a call {:.1} µs of {:.1} µs",
        ratio.median, ratio.min, ratio.max, large.median, small.median, large_us.median, small_us.median
    );
    let name = |name: &str| format!("{prefix}{name}");
    Row::new(PART, what, measured)
        .goal(RATIO_GOAL, ratio.median >= RATIO)
        .figure(&name("ratio"), ratio.median)
        .figure(&name("ratio_min"), ratio.min)
        .figure(&name("ratio_max"), ratio.max)
        .figure(&name("calls_per_s"), large.median)
        .figure(&name("small_calls_per_s"), small.median)
        .figure(&name("server_cpu_us"), large_us.median)
        .figure(&name("small_server_cpu_us"), small_us.median)
}
