//! Frames that carry no message: what they change.

use super::receive::Outcome;
use super::send::NOTICE;
use super::{Event, Expected, Session};
use crate::base::clock::Instant;
use crate::http2::code::Code;
use crate::http2::frame::{self, Flags, FrameHead, HEAD, MAX_FRAME, MAX_WINDOW, Setting};
use crate::http2::limits::Abuse;
use crate::http2::streams::{Ending, Found, Half};

impl<T> Session<T> {
    pub(super) fn priority(&mut self, head: FrameHead, payload: &[u8], now: Instant) -> Outcome {
        self.meters.hit(Abuse::Priorities, &self.limits, now)?;
        let code = match payload.len() {
            5 if frame::number(payload) & frame::MAX_STREAM != head.stream => return Ok(None),
            5 => Code::Protocol,
            _ => Code::FrameSize,
        };
        match self.streams.find(head.stream) {
            Found::Open(key) => self.fail(key, code, now).map(Some),
            // A stream that is not there cannot be reset.
            _ => Err(code.into()),
        }
    }

    pub(super) fn rst_stream(&mut self, head: FrameHead, now: Instant) -> Outcome {
        match self.streams.find(head.stream) {
            Found::Open(key) => {
                let Some(stream) = self.streams.at_mut(key) else {
                    return Ok(None);
                };
                stream.ending = Some(Ending::ByPeer);
                self.meters.excuse(&self.limits);
                // A stream whose answer is out was worth its work.
                if stream.local == Half::Open {
                    self.meters.hit(Abuse::Resets, &self.limits, now)?;
                }
                Ok(Some(Event::Reset { key }))
            }
            Found::Idle if !self.is_ignored(head.stream) => Err(Code::Protocol.into()),
            found => {
                // What it sends behind that was not on its way when we reset the stream.
                self.streams.ended_too(head.stream, Ending::ByPeer);
                // Its reset may have crossed our answer's end, or our own reset: once.
                let once = [Ending::Whole, Ending::ByUs, Ending::ByBoth].map(Found::Over);
                if !once.contains(&found) {
                    self.meters.hit(Abuse::Resets, &self.limits, now)?;
                }
                Ok(None)
            }
        }
    }

    pub(super) fn settings(&mut self, head: FrameHead, payload: &[u8], now: Instant) -> Outcome {
        if head.flags.has(Flags::ACK) {
            // Ours are answered once.
            if std::mem::replace(&mut self.agreed, true) {
                self.meters.hit(Abuse::Settings, &self.limits, now)?;
            }
            return Ok(None);
        }
        self.expected = Expected::Frame;
        self.meters.hit(Abuse::Settings, &self.limits, now)?;
        // The last one holds, and none on the way there may be too large: one look at all streams for a frame full of them.
        let mut windows: Option<(u32, u32)> = None;
        for (setting, value) in frame::read_settings(payload) {
            match setting {
                Setting::HeaderTableSize => self.encoder.allow(value as usize),
                Setting::InitialWindowSize if value > MAX_WINDOW => {
                    return Err(Code::FlowControl.into());
                }
                Setting::InitialWindowSize => {
                    let most = windows.map_or(value, |(most, _)| most.max(value));
                    windows = Some((most, value));
                }
                Setting::MaxFrameSize if !(MAX_FRAME..1 << 24).contains(&value) => {
                    return Err(Code::Protocol.into());
                }
                Setting::EnablePush | Setting::EnableConnectProtocol if value > 1 => {
                    return Err(Code::Protocol.into());
                }
                _ => {}
            }
        }
        if let Some((most, last)) = windows {
            let by = |value| i64::from(value) - i64::from(self.initial_send);
            if !self.streams.shift_windows(by(most), by(last)) {
                return Err(Code::FlowControl.into());
            }
            self.initial_send = last;
        }
        frame::settings_ack(&mut self.out);
        self.owed += HEAD;
        Ok(windows.map(|_| Event::Window))
    }

    pub(super) fn ping(&mut self, head: FrameHead, payload: &[u8], now: Instant) -> Outcome {
        // An answer too: we ask once in the life of a connection.
        self.meters.hit(Abuse::Pings, &self.limits, now)?;
        if head.flags.has(Flags::ACK) {
            return Ok((payload == NOTICE).then_some(Event::Pong));
        }
        frame::ping(Flags::ACK, payload, &mut self.out);
        self.owed += HEAD + 8;
        Ok(None)
    }

    pub(super) fn window_update(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now: Instant,
    ) -> Outcome {
        self.meters.hit(Abuse::WindowUpdates, &self.limits, now)?;
        let increment = i64::from(frame::number(payload) & MAX_WINDOW);
        let most = i64::from(MAX_WINDOW);
        if head.stream == 0 {
            self.send += increment;
            return match increment {
                0 => Err(Code::Protocol.into()),
                _ if self.send > most => Err(Code::FlowControl.into()),
                _ => Ok(Some(Event::Window)),
            };
        }
        match self.streams.find(head.stream) {
            Found::Open(key) => {
                let Some(stream) = self.streams.at_mut(key) else {
                    return Ok(None);
                };
                stream.send += increment;
                match increment {
                    0 => self.fail(key, Code::Protocol, now).map(Some),
                    _ if stream.send > most => self.fail(key, Code::FlowControl, now).map(Some),
                    _ => Ok(Some(Event::Window)),
                }
            }
            Found::Idle if !self.is_ignored(head.stream) => Err(Code::Protocol.into()),
            // It may have been on its way when the stream ended.
            _ => Ok(None),
        }
    }
}
