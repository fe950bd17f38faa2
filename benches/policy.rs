//! Where the time of one decision goes: `cargo bench --bench policy [FILTER]`, for whoever makes it faster. It asks what
//! the part `policy` of tests/bench/run asks, and more; what it should cost stands there, and nothing is asserted here.

#[path = "../tests/bench/decisions.rs"]
mod decisions;
#[path = "../tests/bench/organisation.rs"]
mod organisation;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use callgate::domain::{
    json::Value,
    name::Name,
    policy::{
        BUILTIN, Policy,
        directory::edit::Edit,
        endpoint::{
            Attributes, Endpoint,
            eval::{EndpointDecision, EndpointQuestion, evaluate_endpoint},
        },
        eval::{Arguments, evaluate},
    },
};
use criterion::Criterion;
use decisions::{TOOLS, compile, listing, noon, question, ruled, writing};
use organisation::{Organisation, person};

/// The server's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    small(&mut criterion)?;
    rules(&mut criterion)?;
    large(&mut criterion)?;
    endpoints(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn small(criterion: &mut Criterion) -> anyhow::Result<()> {
    let policy = decisions::small()?;
    let mut group = criterion.benchmark_group("no rule");
    for (what, tool, _) in TOOLS {
        let question = question("dev_user", tool, Arguments::NONE);
        group.bench_function(what, |bencher| bencher.iter(|| evaluate(&policy, black_box(&question))));
    }
    group.finish();
    Ok(())
}

fn rules(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("rules");
    for (count, kib) in [(3, 1), (50, 1), (50, 256)] {
        let (policy, arguments) = ruled(count, kib * 1024)?;
        let question = writing(&arguments);
        group.bench_function(format!("{count} on {kib} KiB"), |bencher| {
            bencher.iter(|| evaluate(&policy, black_box(&question)));
        });
    }
    let (_, arguments) = ruled(1, 256 * 1024)?;
    group.bench_function("256 KiB are read", |bencher| {
        bencher.iter(|| black_box(&arguments).read(None) == Value::Null);
    });
    group.finish();
    Ok(())
}

fn large(criterion: &mut Criterion) -> anyhow::Result<()> {
    let large = Organisation::LARGE;
    let policy = decisions::large(&large)?;
    let some = decisions::some_users(&large);
    let first = some.first().context("nobody is there")?;
    let mut group = criterion.benchmark_group("100,000 users");
    let asked = listing(first);
    group.bench_function("one user again and again", |bencher| {
        bencher.iter(|| evaluate(&policy, black_box(&asked)));
    });
    let mut next = some.iter().cycle();
    let mut ask = |policy: &Policy| evaluate(policy, &listing(next.next().map_or("", String::as_str)));
    (0..2_000).for_each(|_| drop(ask(&policy)));
    group.bench_function("1,000 users in turn", |bencher| bencher.iter(|| ask(black_box(&policy))));
    let (text, directory) = (large.document(BUILTIN), policy.directory().clone());
    let users: Vec<String> = (0..large.users).map(person).collect();
    group.bench_function("the first question of a user", |bencher| {
        bencher.iter_custom(|iterations| {
            let (mut spent, mut left) = (Duration::ZERO, iterations);
            while left > 0 {
                // A version that remembers nobody.
                let Ok(fresh) = compile(&text, Some(directory.clone())) else { break };
                let count = left.min(u64::from(large.users));
                let start = Instant::now();
                for user in users.iter().take(usize::try_from(count).unwrap_or(usize::MAX)) {
                    black_box(evaluate(&fresh, &listing(user)));
                }
                spent += start.elapsed();
                left -= count;
            }
            spent
        });
    });
    let mut is_enabled = true;
    let user = Name::new(first)?;
    group.bench_function("one user is disabled, or enabled again", |bencher| {
        bencher.iter(|| {
            is_enabled = !is_enabled;
            let edit = Edit::UpdateUser { user: user.clone(), kind: None, enabled: Some(is_enabled) };
            let changes = policy.edited(&[edit]).unwrap_or_default();
            let next = policy.with_changes(&changes, 2);
            (next.locks_everybody_out(), next)
        });
    });
    group.finish();
    Ok(())
}

fn endpoints(criterion: &mut Criterion) -> anyhow::Result<()> {
    let (policy, requests) = decisions::endpoints()?;
    let attributes = Attributes::read("", 16)?;
    let mut group = criterion.benchmark_group("10,000 endpoints");
    for (what, endpoint) in &requests {
        group.bench_function(format!("{what}: the match"), |bencher| {
            bencher.iter(|| policy.endpoints().find(black_box(endpoint)).live.is_some());
        });
        let (method, path) = (endpoint.method.as_str(), endpoint.path.as_str());
        group.bench_function(format!("{what}: normalised, matched, decided"), |bencher| {
            bencher.iter(|| {
                let endpoint = Endpoint::read(method, black_box(path));
                let question = EndpointQuestion {
                    user: "dev_user",
                    agent: None,
                    endpoint: endpoint.as_ref(),
                    attributes: &attributes,
                    time: noon(),
                };
                evaluate_endpoint(&policy, &question).decision == EndpointDecision::Permit
            });
        });
    }
    group.finish();
    Ok(())
}
