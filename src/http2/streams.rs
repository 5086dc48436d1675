//! The streams of a connection: those under way, and a short memory of those that are over.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use slab::Slab;

use super::frame::MAX_WINDOW;

/// How a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// Both ends said all that they had to say.
    Whole,
    /// The other end reset it.
    ByPeer,
    /// We reset it: what was on its way when we did comes still, and means nothing.
    ByUs,
    /// We reset it, and the other end has said all since. Its own reset may still be on its way.
    ByBoth,
}

/// One direction of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Half {
    /// More may come.
    Open,
    /// It has ended.
    Ended,
}

/// One stream under way.
#[derive(Debug)]
pub struct Stream<T> {
    /// Its number.
    pub id: u32,
    /// What the other end sends.
    pub remote: Half,
    /// What we send.
    pub local: Half,
    /// Set when it is over, while its work is not.
    pub ending: Option<Ending>,
    /// What the other end may still send.
    pub(super) receive: i64,
    /// What was taken out of the window since it was told.
    pub(super) taken: u32,
    /// What we may still send; below 0 when the other end made its windows smaller.
    pub(super) send: i64,
    /// What is left of the length that its head declares.
    pub(super) left: Option<u64>,
    /// What its owner keeps with it.
    pub own: T,
}

/// Where a stream is kept.
pub type Key = usize;

/// What a number stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// A stream under way.
    Open(Key),
    /// One that is over.
    Over(Ending),
    /// One that was passed over, or is over for long.
    Forgotten,
    /// One that did not begin yet.
    Idle,
}

/// How many ended streams are remembered: twice as many as there may be, in these bounds.
const REMEMBERED: RangeInclusive<usize> = 256..=2048;

/// All streams of one connection.
#[derive(Debug)]
pub struct Streams<T> {
    slots: Slab<Stream<T>>,
    /// Where each is, in the order of their numbers.
    order: Vec<(u32, Key)>,
    over: VecDeque<(u32, Ending)>,
    /// How many of those are remembered.
    remembered: usize,
    /// The highest number seen.
    pub(super) last: u32,
}

impl<T> Streams<T> {
    /// None, of which there may be so many at once.
    pub(super) fn new(most: u32) -> Self {
        let (least, highest) = (*REMEMBERED.start(), *REMEMBERED.end());
        Self {
            remembered: (2 * most as usize).clamp(least, highest),
            slots: Slab::new(),
            order: Vec::new(),
            over: VecDeque::new(),
            last: 0,
        }
    }

    /// How many are under way, those included that are over while their work is not.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Bytes of memory that the table takes.
    pub fn weight(&self) -> usize {
        self.slots.capacity() * size_of::<Stream<T>>()
            + self.order.capacity() * size_of::<(u32, Key)>()
            + self.over.capacity() * size_of::<(u32, Ending)>()
    }

    /// Every stream.
    pub fn iter(&self) -> impl Iterator<Item = &Stream<T>> {
        self.slots.iter().map(|(_, stream)| stream)
    }

    /// Every stream.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream<T>> {
        self.slots.iter_mut().map(|(_, stream)| stream)
    }

    /// The stream at this place.
    pub fn at(&self, key: Key) -> Option<&Stream<T>> {
        self.slots.get(key)
    }

    /// The stream at this place.
    pub fn at_mut(&mut self, key: Key) -> Option<&mut Stream<T>> {
        self.slots.get_mut(key)
    }

    pub(super) fn find(&self, id: u32) -> Found {
        // Even ones are those that a server would promise, and we promise none.
        if id > self.last || id.is_multiple_of(2) {
            return Found::Idle;
        }
        let place = self.order.binary_search_by_key(&id, |&(id, _)| id);
        if let Ok(place) = place
            && let Some(&(_, key)) = self.order.get(place)
        {
            return match self.at(key).and_then(|stream| stream.ending) {
                Some(ending) => Found::Over(ending),
                None => Found::Open(key),
            };
        }
        let known = self.over.iter().rev().find(|(over, _)| *over == id);
        known.map_or(Found::Forgotten, |&(_, ending)| Found::Over(ending))
    }

    /// Adds a stream with the highest number so far.
    pub(super) fn insert(&mut self, stream: Stream<T>) -> Key {
        let id = stream.id;
        let key = self.slots.insert(stream);
        self.order.push((id, key));
        key
    }

    /// Takes out a stream whose work is over.
    pub(super) fn remove(&mut self, key: Key) -> Option<Stream<T>> {
        let stream = self.slots.try_remove(key)?;
        if let Ok(place) = self.order.binary_search_by_key(&stream.id, |&(id, _)| id) {
            self.order.remove(place);
        }
        self.remember(stream.id, stream.ending.unwrap_or(Ending::Whole));
        Some(stream)
    }

    pub(super) fn remember(&mut self, id: u32, ending: Ending) {
        if self.over.len() == self.remembered {
            self.over.pop_front();
        }
        self.over.push_back((id, ending));
    }

    /// The other end ended a stream that we had reset.
    pub(super) fn ended_too(&mut self, id: u32, by: Ending) {
        if let Ok(place) = self.order.binary_search_by_key(&id, |&(id, _)| id) {
            let key = self.order.get(place).map(|&(_, key)| key);
            if let Some(stream) = key.and_then(|key| self.slots.get_mut(key)) {
                stream.ending = Some(by);
            }
        } else if let Some((_, ending)) = self.over.iter_mut().rev().find(|(over, _)| *over == id) {
            *ending = by;
        }
    }

    /// Every window that is still of use becomes so much larger, or smaller (RFC 9113, 6.9.2); false: one of them too large (E-068), where it
    /// was `most` larger in between.
    pub(super) fn shift_windows(&mut self, most: i64, by: i64) -> bool {
        let sends = |stream: &&mut Stream<T>| stream.ending.is_none() && stream.local == Half::Open;
        self.iter_mut().filter(sends).all(|stream| {
            let fits = stream.send + most <= i64::from(MAX_WINDOW);
            stream.send += by;
            fits
        })
    }

    /// Gives memory back that only many streams need.
    pub fn shrink(&mut self) {
        if self.order.is_empty() {
            self.slots = Slab::new();
            self.order = Vec::new();
            self.over.shrink_to_fit();
        }
    }
}
