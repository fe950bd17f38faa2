//! Several statements as one message to the connection: a message to its thread and back costs more than most
//! statements do.
//!
//! The statements run in order, and after one that fails none runs. They share one list of values, which the driver
//! deals out to plain `?` in order, going on from one statement to the next (`SqliteArguments::bind` with the
//! offset of `ExecuteIter`). It would count `?1` from the start of the list in every statement, so no statement
//! here numbers its values. A text is prepared and kept as a whole: there have to be few different ones.

use sqlx::{
    Arguments as _, AssertSqlSafe, Either, Encode, Executor as _, Sqlite, SqliteConnection, Type,
    error::BoxDynError, sqlite::SqliteArguments,
};
use tokio_stream::StreamExt as _;

use super::fault::Fault;
use crate::store::StoreError;

/// Statements to run, with their values.
#[derive(Default)]
pub(super) struct Script {
    text: String,
    arguments: SqliteArguments,
    /// Of each statement: the table of which it has to change one row, if it has to.
    guards: Vec<Option<&'static str>>,
    unwritable: Option<BoxDynError>,
}

impl Script {
    /// Adds a statement; its values follow.
    pub(super) fn then(&mut self, statement: &'static str) -> &mut Self {
        self.add(statement, None)
    }

    /// Adds a statement that changes one row of this table: anything else is a `Conflict`.
    pub(super) fn then_one_row(&mut self, table: &'static str, statement: &'static str) -> &mut Self {
        self.add(statement, Some(table))
    }

    fn add(&mut self, statement: &'static str, guard: Option<&'static str>) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push_str(";\n");
        }
        self.text.push_str(statement);
        self.guards.push(guard);
        self
    }

    /// Gives the next `?` its value.
    pub(super) fn bind<'v, T: Encode<'v, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.unwritable = Some(error);
        }
        self
    }

    /// Runs them; the place of the row that was inserted last. What a script did before an error has to be undone.
    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<i64, Fault> {
        debug_assert_eq!(self.text.matches('?').count(), self.arguments.len(), "{}", self.text);
        if let Some(error) = self.unwritable {
            return Err(sqlx::Error::Encode(error).into());
        }
        let query = sqlx::query_with(AssertSqlSafe(self.text), self.arguments);
        let mut guards = self.guards.into_iter();
        let mut newest = 0;
        let mut steps = connection.fetch_many(query);
        while let Some(step) = steps.next().await {
            let Either::Left(done) = step? else { continue };
            newest = done.last_insert_rowid();
            if let Some(Some(table)) = guards.next()
                && done.rows_affected() != 1
            {
                return Err(StoreError::Conflict(table).into());
            }
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;

    async fn connection() -> SqliteConnection {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (a INTEGER, b TEXT)").execute(&mut connection).await.unwrap();
        connection
    }

    #[tokio::test]
    async fn values_go_on_from_one_statement_to_the_next_each_time_it_runs() {
        let mut connection = connection().await;
        for place in 0..3_i64 {
            let mut script = Script::default();
            script.then("INSERT INTO t VALUES (?, ?)").bind(place).bind("one");
            script.then("DELETE FROM t WHERE a = ? AND b = ?").bind(place - 1).bind("three");
            script.then("INSERT INTO t VALUES (?, ?)").bind(place).bind(None::<&str>);
            script.then_one_row("t", "UPDATE t SET b = ? WHERE a = ? AND b IS ?");
            script.bind("three").bind(place).bind(None::<&str>);
            script.run(&mut connection).await.unwrap();
        }
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT a, b FROM t ORDER BY rowid").fetch_all(&mut connection).await.unwrap();
        let rows: Vec<(i64, &str)> = rows.iter().map(|(a, b)| (*a, b.as_str())).collect();
        assert_eq!(rows, [(0, "one"), (1, "one"), (2, "one"), (2, "three")]);
    }

    #[tokio::test]
    async fn the_guard_that_failed_first_is_the_error() {
        let mut connection = connection().await;
        let mut script = Script::default();
        script.then("INSERT INTO t VALUES (?, ?)").bind(1).bind("one");
        script.then_one_row("first", "UPDATE t SET b = ? WHERE a = ?").bind("two").bind(2);
        script.then_one_row("second", "UPDATE t SET b = ? WHERE a = ?").bind("two").bind(2);
        let failed = script.run(&mut connection).await;
        assert!(matches!(failed, Err(Fault::Store(StoreError::Conflict("first")))), "{failed:?}");
    }
}
