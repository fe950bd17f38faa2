//! The database: its engine, its schema, whether it is whole, and how its time stands to the wall clock.

use std::{path::Path, time::Duration};

use super::{CHECK_TIMEOUT, Examined, Finding, KnownCredential, Question, database_file, quoted, wall};
use crate::{
    domain::time::Timestamp,
    store::{
        StoreError,
        inspect::{self, Content, Integrity, Schema},
    },
};

const ENGINE: &str = "SQLite";
const DATABASE: &str = "database";
const SCHEMA: &str = "schema";
const INTEGRITY: &str = "integrity";
const RECORD: &str = "record";
const CLOCK: &str = "clock";

/// How far the service's time may be ahead before no server is ready.
const LEAD_MAX: Duration = Duration::from_mins(1);

/// Where systemd's time service says that the clock is right.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

/// What to do where a database can't be used any more.
const RESTORE: &str =
    "stop every server, keep a copy of the folder as it is, and restore the newest backup that is whole";

/// Looks at the database.
pub(super) async fn examine(folder: &Path, question: &Question<'_>, examined: &mut Examined) {
    let findings = &mut examined.findings;
    findings.push(engine());
    let file = database_file(folder);
    let start = format!("callgate serve --data-dir {}", quoted(folder));
    let bytes = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let found = format!("there is no `{}` yet", file.display());
            findings.push(Finding::warn(DATABASE, found, "the first start makes it").run(start));
            return;
        }
        Err(error) => {
            let found = format!("`{}` can't be looked at: {error}", file.display());
            findings.push(Finding::fail(DATABASE, found, "run this as its owner"));
            return;
        }
    };
    let asked =
        inspect::Question { credential: question.credential, deep: question.deep, timeout: CHECK_TIMEOUT };
    let inspection = match inspect::file(&file, &asked).await {
        Ok(inspection) => inspection,
        Err(fault) => {
            findings.push(unreadable(&file, &fault));
            return;
        }
    };
    findings.push(schema(&inspection.schema, &start));
    findings.push(integrity(&inspection.integrity, bytes, question, folder));
    let Some(content) = inspection.content else { return };
    findings.push(record(&content));
    findings.push(clock(&content, folder));
    if question.credential.is_some() {
        let now = content.last_now.max(wall());
        examined.credential = Some(KnownCredential::of(content.credential, now));
    }
}

fn engine() -> Finding {
    match inspect::engine() {
        (version, true) => Finding::ok(ENGINE, format!("{version}, built in")),
        (version, false) => Finding::fail(
            ENGINE,
            format!("{version}, which may corrupt a database that several connections write"),
            "use a build with 3.51.3 or newer",
        ),
    }
}

fn unreadable(file: &Path, fault: &StoreError) -> Finding {
    Finding::fail(DATABASE, format!("`{}` can't be read: {fault}", file.display()), RESTORE)
        .run(format!("ls -l {}", quoted(file)))
}

fn schema(schema: &Schema, start: &str) -> Finding {
    match schema {
        Schema::Current(number) => Finding::ok(SCHEMA, format!("{number}, as this binary makes it")),
        Schema::Empty => {
            Finding::warn(SCHEMA, "the database is empty", "the next start makes its tables").run(start)
        }
        Schema::Older { found, known } => Finding::warn(
            SCHEMA,
            format!("{found}; this binary makes {known}"),
            "make a backup; the next start brings it up to date, and older binaries can't use it after that",
        )
        .run(start),
        Schema::Newer { found, known } => Finding::fail(
            SCHEMA,
            format!("{found}; this binary knows {known} at most"),
            "use the binary that wrote it, or a newer one",
        )
        .run("callgate --version"),
        Schema::Foreign(number) => Finding::fail(
            SCHEMA,
            format!("migration {number} isn't the one of this binary"),
            "use the binary that made the database",
        )
        .run("callgate --version"),
    }
}

fn integrity(integrity: &Integrity, bytes: u64, question: &Question<'_>, folder: &Path) -> Finding {
    let deeper = format!("callgate doctor --deep --data-dir {}", quoted(folder));
    match integrity {
        Integrity::Whole if question.deep => {
            Finding::ok(INTEGRITY, format!("all of {bytes} bytes, with indexes and references"))
        }
        Integrity::Whole => Finding::ok(INTEGRITY, format!("a quick check of {bytes} bytes found nothing")),
        Integrity::Unfinished => Finding::warn(
            INTEGRITY,
            format!("a quick check of {bytes} bytes isn't over after {} s", CHECK_TIMEOUT.as_secs()),
            "check all of it, on a backup where the server has much to do",
        )
        .run(deeper),
        Integrity::Broken(faults) => {
            Finding::fail(INTEGRITY, format!("the database is damaged: {}", faults.join("; ")), RESTORE)
        }
    }
}

/// Whether the log ends where the tree says; that its entries are as they were written is `audit verify`'s to say.
fn record(content: &Content) -> Finding {
    let Content { tree_size, log_size, .. } = content;
    if tree_size == log_size {
        return Finding::ok(
            RECORD,
            format!(
                "{tree_size} entries of {} tenants; `callgate audit verify` recomputes them all",
                content.tenants
            ),
        );
    }
    let found = format!("the log ends at {log_size} entries and its tree at {tree_size}");
    let what = "stop, keep a copy of the folder, and find out who wrote to the database; a running server can tell where it differs:";
    Finding::fail(RECORD, found, what).run("callgate audit verify")
}

fn clock(content: &Content, folder: &Path) -> Finding {
    judge_clock(content.last_now, wall(), folder)
}

fn judge_clock(last_now: Timestamp, wall: Timestamp, folder: &Path) -> Finding {
    let lead = last_now.since(wall);
    if lead <= LEAD_MAX {
        let synchronized = if Path::new(SYNCHRONIZED).exists() { "; synchronised by systemd" } else { "" };
        return Finding::ok(CLOCK, format!("the service's time isn't ahead of the wall clock{synchronized}"));
    }
    let found = format!(
        "the service's time is {} s ahead of the wall clock: no server is ready until that has caught up",
        lead.as_secs()
    );
    let what = "look at the wall clock with `date -u`; where it is right, stop every server and accept it, which ends pending approvals and grants:";
    Finding::fail(CLOCK, found, what).run(format!("callgate clock accept --data-dir {}", quoted(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::doctor::Level;

    #[test]
    fn a_service_more_than_a_minute_ahead_is_a_failure() {
        let wall = Timestamp::from_micros(1_795_000_000_000_000);
        let level = |last_now| judge_clock(last_now, wall, Path::new("/data")).level;
        assert_eq!(level(wall.minus(Duration::from_hours(1))), Level::Ok);
        assert_eq!(level(wall.plus(LEAD_MAX)), Level::Ok);
        assert_eq!(level(wall.plus(LEAD_MAX + Duration::from_micros(1))), Level::Fail);
    }

    #[test]
    fn a_schema_of_another_binary_is_told_with_both_numbers() {
        let of = |found| schema(&found, "callgate serve");
        assert_eq!(of(Schema::Current(3)).level, Level::Ok);
        let older = of(Schema::Older { found: 1, known: 3 });
        assert_eq!((older.level, older.found.as_str()), (Level::Warn, "1; this binary makes 3"));
        let newer = of(Schema::Newer { found: 4, known: 3 });
        assert_eq!((newer.level, newer.found.as_str()), (Level::Fail, "4; this binary knows 3 at most"));
        assert_eq!(of(Schema::Foreign(2)).level, Level::Fail);
    }

    #[test]
    fn a_check_that_takes_too_long_is_not_taken_for_a_whole_database() {
        let question =
            Question { data_dir: Path::new("/d"), credential: None, free_bytes_min: 0, deep: false };
        let of = |found| integrity(&found, 1, &question, Path::new("/d")).level;
        assert_eq!(of(Integrity::Whole), Level::Ok);
        assert_eq!(of(Integrity::Unfinished), Level::Warn);
        assert_eq!(of(Integrity::Broken(vec!["x".into()])), Level::Fail);
    }
}
