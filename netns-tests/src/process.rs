//! A program that runs in the lab beside the test: a capture, a monitor, a load.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read},
    os::fd::OwnedFd,
    process::Child,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{LabError, wait::scaled};

/// One line of output, and when it was read.
#[derive(Clone, Debug)]
pub struct Line {
    /// The moment that the line arrived here.
    pub at: Instant,
    /// Without the line's end.
    pub text: String,
}

/// A running program whose output is read as it comes. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    /// The process itself: its id could mean another one when it has ended.
    handle: OwnedFd,
    what: String,
    lines: Arc<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    all: VecDeque<Line>,
    /// Outputs that may still say something, and one more while the process is not reaped.
    open: usize,
}

impl Process {
    /// Takes over a child with piped output.
    pub(crate) fn new(mut child: Child, what: String) -> io::Result<Self> {
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        let lines = Arc::new(Lines::default());
        let outputs: [Option<Box<dyn Read + Send>>; 2] =
            [child.stdout.take().map(|s| Box::new(s) as _), child.stderr.take().map(|s| Box::new(s) as _)];
        for output in outputs.into_iter().flatten() {
            lines.in_background(move |lines| lines.collect(output));
        }
        // At once and whatever else goes on: a lab cannot end before its last process has been reaped.
        lines.in_background(move |_| drop(child.wait()));
        Ok(Self { handle, what, lines })
    }

    /// Waits for a line, past ones included, on either output.
    pub fn wait_for_line(
        &self,
        timeout: Duration,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<Line, LabError> {
        let start = Instant::now();
        let timeout = scaled(timeout);
        let mut seen = 0;
        let mut state = self.lines.lock();
        loop {
            if let Some(line) = state.all.iter().skip(seen).find(|l| wanted(&l.text)) {
                return Ok(line.clone());
            }
            seen = state.all.len();
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() || state.open == 0 {
                let last = state.all.iter().map(|l| l.text.as_str()).collect::<Vec<_>>().join("\n");
                return Err(LabError::Timeout {
                    what: format!("such line from `{}`", self.what),
                    waited: start.elapsed(),
                    last: if last.is_empty() { "it printed nothing".to_owned() } else { last },
                });
            }
            state = self.lines.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What it has printed so far, on either output.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().all.iter().cloned().collect()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        pidfd_send_signal(&self.handle, signal).map_err(|e| LabError::system(&self.what)(e.into()))
    }

    /// Ends it in an orderly way, and returns all that it printed. It may not have seen yet what happened a moment ago:
    /// what must be there is waited for by [`Process::wait_for_line`] first.
    pub fn stop(self) -> Result<Vec<Line>, LabError> {
        self.signal(Signal::INT)?;
        self.lines.wait_closed();
        Ok(self.lines())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        self.lines.wait_closed();
    }
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something that counts as open until it returns.
    fn in_background(self: &Arc<Self>, work: impl FnOnce(&Self) + Send + 'static) {
        self.lock().open += 1;
        let lines = Arc::clone(self);
        thread::spawn(move || {
            work(&lines);
            lines.lock().open -= 1;
            lines.changed.notify_all();
        });
    }

    fn wait_closed(&self) {
        let mut state = self.lock();
        while state.open > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn collect(&self, output: impl Read) {
        for text in BufReader::new(output).split(b'\n') {
            let Ok(text) = text else { break };
            let line = Line { at: Instant::now(), text: String::from_utf8_lossy(&text).into_owned() };
            self.lock().all.push_back(line);
            self.changed.notify_all();
        }
    }
}
