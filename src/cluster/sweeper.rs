//! What time brings to clusters, whether or not they have traffic: looked at ten times a second, on the control
//! thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::Cluster;
use crate::base::clock;
use crate::metrics::{HealthCells, Hub};
use crate::outlier::Moment;
use crate::task;

/// How late an ejection may end.
const EVERY: Duration = Duration::from_millis(100);

type Swept = Rc<RefCell<Vec<(Arc<Cluster>, Arc<HealthCells>)>>>;

/// Looks after the clusters of the configuration in effect. Lives on the control thread; dropping it ends that.
#[derive(Debug)]
pub struct Sweeper {
    hub: Arc<Hub>,
    swept: Swept,
    task: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// A sweeper without clusters, which counts in `hub`.
    pub fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            swept: Swept::default(),
            task: None,
        }
    }

    /// Makes `clusters` the ones that are looked after. Must run on the control thread's runtime.
    pub fn apply(&mut self, clusters: &[Arc<Cluster>]) {
        let cells = |cluster: &Arc<Cluster>| self.hub.process().health(cluster.name.as_str());
        let swept = clusters.iter().map(|c| (Arc::clone(c), cells(c))).collect();
        *self.swept.borrow_mut() = swept;
        let swept = Rc::clone(&self.swept);
        self.task
            .get_or_insert_with(|| task::spawn("sweeper", run(swept)));
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn run(swept: Swept) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Moment::of(clock::now());
        for (cluster, cells) in swept.borrow().iter() {
            cluster.sweep(now, fastrand::f64, cells);
        }
    }
}
