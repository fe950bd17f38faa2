//! The client's requests that have no answer yet, by their id.
//!
//! An id stands for one request until that has ended; a second request with it is refused. Whether a held call
//! may still be sent is settled here, under one lock: either the cancellation wins and nothing is sent, or the
//! call is on its way before the cancellation is. Ids say nothing beyond this connection.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::envelope::{Answer, AnswerEnd, Id};

/// The requests of one connection that are under way.
#[derive(Debug)]
pub struct Flights {
    held_max: usize,
    table: Mutex<Table>,
}

/// How many requests may be under way at once, held ones included.
pub const IN_FLIGHT_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Table {
    flights: HashMap<Id, Flight>,
    serial: u64,
}

#[derive(Debug)]
struct Flight {
    serial: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Passed,
    Held { cancelled: CancellationToken, waiting: bool },
    Forwarded { end: oneshot::Sender<AnswerEnd>, cancelled: CancellationToken },
}

/// A call's place in the table.
#[derive(Debug, Clone)]
pub struct Ticket {
    id: Id,
    serial: u64,
    /// Cancelled when the client no longer wants the answer.
    pub cancelled: CancellationToken,
}

/// Why a request finds no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The id stands for a request that has no answer yet.
    #[error("the id is in use by a request that has no answer yet")]
    Duplicate,
    /// Too many calls wait for humans.
    #[error("too many calls are waiting for approval on this connection")]
    Held,
    /// Too many requests have no answer yet.
    #[error("too many requests have no answer yet")]
    InFlight,
}

impl Flights {
    /// A table in which at most `held_max` calls wait for humans.
    #[must_use]
    pub fn new(held_max: usize) -> Self {
        Self { held_max, table: Mutex::default() }
    }

    /// Enters a request that is forwarded at once.
    ///
    /// # Errors
    /// [`Full`].
    pub fn pass(&self, id: &Id) -> Result<(), Full> {
        self.table().enter(id, Stage::Passed).map(|_serial| ())
    }

    /// Enters a call that the gate is asked about.
    ///
    /// # Errors
    /// [`Full::Duplicate`] and [`Full::InFlight`].
    pub fn hold(&self, id: &Id) -> Result<Ticket, Full> {
        let cancelled = CancellationToken::new();
        let stage = Stage::Held { cancelled: cancelled.clone(), waiting: false };
        let serial = self.table().enter(id, stage)?;
        Ok(Ticket { id: id.clone(), serial, cancelled })
    }

    /// Notes that a held call waits for humans from here on. Once it does, it may go on waiting.
    ///
    /// # Errors
    /// [`Full::Held`].
    pub fn wait(&self, ticket: &Ticket) -> Result<(), Full> {
        let mut table = self.table();
        let is_waiting = |flight: &Flight| matches!(flight.stage, Stage::Held { waiting: true, .. });
        let count = table.flights.values().filter(|flight| is_waiting(flight)).count();
        match table.own(ticket).map(|flight| &mut flight.stage) {
            Some(Stage::Held { waiting: false, .. }) if count >= self.held_max => Err(Full::Held),
            Some(Stage::Held { waiting, .. }) => {
                *waiting = true;
                Ok(())
            }
            // The client took it back, of which its cancellation tells.
            _ => Ok(()),
        }
    }

    /// Sends a held call with `send`, unless the client took it back. Gives the way to hear of its end.
    pub fn forward(&self, ticket: &Ticket, send: impl FnOnce()) -> Option<oneshot::Receiver<AnswerEnd>> {
        let mut table = self.table();
        let flight = table.own(ticket)?;
        let (end, heard) = oneshot::channel();
        flight.stage = Stage::Forwarded { end, cancelled: ticket.cancelled.clone() };
        send();
        Some(heard)
    }

    /// Takes a call out. False if it was out already: then nobody waits for an answer.
    #[must_use]
    pub fn close(&self, ticket: &Ticket) -> bool {
        let mut table = self.table();
        let open = table.own(ticket).is_some();
        if open {
            table.flights.remove(&ticket.id);
        }
        open
    }

    /// Notes an answer of the server. False for the answer to a call that the server can't have seen.
    #[must_use]
    pub fn answered(&self, answer: &Answer) -> bool {
        let mut table = self.table();
        if matches!(table.flights.get(&answer.id), Some(Flight { stage: Stage::Held { .. }, .. })) {
            return false;
        }
        if let Some(Flight { stage: Stage::Forwarded { end, .. }, .. }) = table.flights.remove(&answer.id) {
            // Nobody listens any more when the client took the call back long ago.
            let _ = end.send(answer.end);
        }
        true
    }

    /// Notes that the client takes a request back. True if the server has to hear of it.
    #[must_use]
    pub fn cancel(&self, id: &Id) -> bool {
        let mut table = self.table();
        match table.flights.get(id) {
            Some(Flight { stage: Stage::Held { cancelled, .. }, .. }) => {
                cancelled.cancel();
                table.flights.remove(id);
                false
            }
            Some(Flight { stage: Stage::Forwarded { cancelled, .. }, .. }) => {
                cancelled.cancel();
                true
            }
            Some(Flight { stage: Stage::Passed, .. }) => {
                table.flights.remove(id);
                true
            }
            None => true,
        }
    }

    /// Takes every held call out, so that it is never sent, and gives their ids: one of the sides is gone.
    #[must_use]
    pub fn cancel_held(&self) -> Vec<Id> {
        let mut ids = Vec::new();
        self.table().flights.retain(|id, flight| match &flight.stage {
            Stage::Held { cancelled, .. } => {
                cancelled.cancel();
                ids.push(id.clone());
                false
            }
            Stage::Passed | Stage::Forwarded { .. } => true,
        });
        ids
    }

    /// Takes everything out and gives the ids that still want an answer: the server is gone.
    #[must_use]
    pub fn end(&self) -> Vec<Id> {
        let flights = std::mem::take(&mut self.table().flights);
        for flight in flights.values() {
            if let Stage::Held { cancelled, .. } = &flight.stage {
                cancelled.cancel();
            }
        }
        flights.into_keys().collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is whole between any two statements, so a poisoned lock has harmed nothing.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn enter(&mut self, id: &Id, stage: Stage) -> Result<u64, Full> {
        if self.flights.contains_key(id) {
            return Err(Full::Duplicate);
        }
        if self.flights.len() >= IN_FLIGHT_MAX {
            return Err(Full::InFlight);
        }
        self.serial += 1;
        self.flights.insert(id.clone(), Flight { serial: self.serial, stage });
        Ok(self.serial)
    }

    fn own(&mut self, ticket: &Ticket) -> Option<&mut Flight> {
        self.flights.get_mut(&ticket.id).filter(|flight| flight.serial == ticket.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: i64) -> Answer {
        Answer { id: Id::Number(id), end: AnswerEnd::Succeeded }
    }

    #[test]
    fn a_call_that_was_taken_back_is_never_sent() {
        let flights = Flights::new(8);
        let ticket = flights.hold(&Id::Number(1)).unwrap();
        assert!(!flights.cancel(&Id::Number(1)));
        assert!(ticket.cancelled.is_cancelled());
        assert!(flights.forward(&ticket, || panic!("sent")).is_none());
        assert!(!flights.close(&ticket));
    }

    #[test]
    fn the_server_hears_of_a_cancellation_only_after_the_call() {
        let flights = Flights::new(8);
        let ticket = flights.hold(&Id::Number(1)).unwrap();
        let mut heard = flights.forward(&ticket, || ()).unwrap();
        assert!(flights.cancel(&Id::Number(1)));
        assert!(flights.answered(&answer(1)));
        assert_eq!(heard.try_recv(), Ok(AnswerEnd::Succeeded));
    }

    #[test]
    fn an_id_stands_for_one_request_at_a_time() {
        let flights = Flights::new(8);
        flights.pass(&Id::Number(1)).unwrap();
        assert_eq!(flights.pass(&Id::Number(1)), Err(Full::Duplicate));
        assert_eq!(flights.hold(&Id::Number(1)).unwrap_err(), Full::Duplicate);
        assert!(flights.pass(&Id::Text("1".to_owned())).is_ok());
        assert!(flights.answered(&answer(1)));
        let first = flights.hold(&Id::Number(1)).unwrap();
        assert!(!flights.cancel(&Id::Number(1)));
        let second = flights.hold(&Id::Number(1)).unwrap();
        assert!(!flights.close(&first), "the first call must not take the second one's place");
        assert!(flights.close(&second));
    }

    #[test]
    fn held_and_open_requests_are_bounded() {
        let flights = Flights::new(1);
        let [first, second] = [0, 1].map(|id| flights.hold(&Id::Number(id)).unwrap());
        assert_eq!(flights.wait(&first), Ok(()));
        assert_eq!(flights.wait(&first), Ok(()), "it goes on waiting");
        assert_eq!(flights.wait(&second), Err(Full::Held));
        assert!(flights.close(&first));
        assert_eq!(flights.wait(&second), Ok(()));
        let last = i64::try_from(IN_FLIGHT_MAX).unwrap();
        (2..=last).for_each(|id| flights.pass(&Id::Number(id)).unwrap());
        assert_eq!(flights.hold(&Id::Number(last + 1)).unwrap_err(), Full::InFlight);
        let last = last + 1;
        assert_eq!(flights.pass(&Id::Number(last)), Err(Full::InFlight));
    }

    #[test]
    fn the_server_can_not_answer_what_it_has_not_seen() {
        let flights = Flights::new(8);
        let ticket = flights.hold(&Id::Number(1)).unwrap();
        assert!(!flights.answered(&answer(1)));
        assert!(flights.close(&ticket));
        assert!(flights.answered(&answer(77)));
    }

    #[test]
    fn an_end_leaves_nobody_without_an_answer() {
        let flights = Flights::new(8);
        let held = flights.hold(&Id::Number(1)).unwrap();
        let forwarded = flights.hold(&Id::Number(2)).unwrap();
        let mut heard = flights.forward(&forwarded, || ()).unwrap();
        flights.pass(&Id::Number(3)).unwrap();
        assert_eq!(flights.cancel_held(), [Id::Number(1)]);
        assert!(held.cancelled.is_cancelled());
        let mut left: Vec<String> = flights.end().iter().map(ToString::to_string).collect();
        left.sort();
        assert_eq!(left, ["2", "3"]);
        assert!(heard.try_recv().is_err());
    }
}
