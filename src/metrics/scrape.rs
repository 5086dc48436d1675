//! One scrape: values added up by metric and label set, then written as text.

use std::collections::BTreeMap;

use prometheus::proto;
use prometheus::{Encoder, TextEncoder};

use super::OTHER;
use super::cell::Distribution;
use super::names::{Kind, Metric};

/// Values of one scrape. Equal label sets are added up, so every shard may give its part.
#[derive(Debug)]
pub struct Scrape {
    families: BTreeMap<&'static str, Family>,
    max_series: usize,
    folded: u64,
}

#[derive(Debug)]
struct Family {
    metric: &'static Metric,
    series: BTreeMap<Box<[Box<str>]>, Value>,
}

#[derive(Clone, Debug)]
enum Value {
    Count(u64),
    Number(f64),
    Distribution(Box<Distribution>),
}

impl Value {
    fn merge(&mut self, more: Self) {
        match (self, more) {
            (Self::Count(sum), Self::Count(n)) => *sum = sum.wrapping_add(n),
            (Self::Number(sum), Self::Number(n)) => *sum += n,
            (Self::Distribution(sum), Self::Distribution(more)) => sum.merge(&more),
            // One metric has one kind of value: `Family::metric` decides which method is used.
            (sum, more) => *sum = more,
        }
    }
}

impl Scrape {
    pub(super) fn new(max_series: usize) -> Self {
        Self {
            families: BTreeMap::new(),
            max_series,
            folded: 0,
        }
    }

    /// Adds to a counter.
    pub fn add(&mut self, metric: &'static Metric, labels: &[&str], count: u64) {
        self.put(metric, labels, Value::Count(count));
    }

    /// Adds to a counter of seconds.
    pub fn seconds(&mut self, metric: &'static Metric, labels: &[&str], seconds: f64) {
        self.put(metric, labels, Value::Number(seconds));
    }

    /// Adds to a gauge.
    pub fn gauge(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.put(metric, labels, Value::Number(value));
    }

    /// Adds to a histogram.
    pub(super) fn distribution(
        &mut self,
        metric: &'static Metric,
        labels: &[&str],
        value: &Distribution,
    ) {
        self.put(metric, labels, Value::Distribution(Box::new(value.clone())));
    }

    /// Label sets that went into `_other` in this scrape.
    pub(super) fn folded(&self) -> u64 {
        self.folded
    }

    fn put(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        let family = self.families.entry(metric.name).or_insert_with(|| Family {
            metric,
            series: BTreeMap::new(),
        });
        let mut key: Box<[Box<str>]> = labels.iter().map(|label| Box::from(*label)).collect();
        if family.series.len() >= self.max_series && !family.series.contains_key(&key) {
            self.folded += 1;
            key = labels.iter().map(|_| Box::from(OTHER)).collect();
        }
        match family.series.get_mut(&key) {
            Some(sum) => sum.merge(value),
            None => {
                family.series.insert(key, value);
            }
        }
    }

    /// The text format of Prometheus.
    pub(super) fn encode(self) -> Vec<u8> {
        let families: Vec<proto::MetricFamily> = self
            .families
            .into_values()
            .map(Family::into_proto)
            .collect();
        let mut text = Vec::with_capacity(16 * 1024);
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        text
    }
}

impl Family {
    fn into_proto(self) -> proto::MetricFamily {
        let names = self.metric.labels;
        let series = self
            .series
            .into_iter()
            .map(|(labels, value)| {
                let pairs = names
                    .iter()
                    .zip(labels)
                    .map(|(name, value)| {
                        let mut pair = proto::LabelPair::default();
                        pair.set_name((*name).to_owned());
                        pair.set_value(value.into_string());
                        pair
                    })
                    .collect();
                let mut metric = proto::Metric::from_label(pairs);
                value.write(self.metric.kind, &mut metric);
                metric
            })
            .collect();
        let mut family = proto::MetricFamily::default();
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(match self.metric.kind {
            Kind::Counter => proto::MetricType::COUNTER,
            Kind::Gauge => proto::MetricType::GAUGE,
            Kind::Histogram => proto::MetricType::HISTOGRAM,
        });
        family.set_metric(series);
        family
    }
}

impl Value {
    fn write(self, kind: Kind, metric: &mut proto::Metric) {
        let number = match self {
            Self::Count(count) => count as f64,
            Self::Number(number) => number,
            Self::Distribution(distribution) => {
                metric.set_histogram(histogram(&distribution));
                return;
            }
        };
        if kind == Kind::Counter {
            let mut counter = proto::Counter::default();
            counter.set_value(number);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(number);
            metric.set_gauge(gauge);
        }
    }
}

fn histogram(distribution: &Distribution) -> proto::Histogram {
    let buckets = distribution
        .cumulative()
        .map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        })
        .collect();
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(distribution.count());
    histogram.set_sample_sum(distribution.sum_seconds());
    histogram
}
