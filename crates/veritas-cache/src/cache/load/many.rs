//! Loads of many keys: one call of the loader for all that its caller leads.
//!
//! Leads are taken without waiting, then the own load runs, and only then does the
//! caller wait for the loads of others, when it leads nothing any more. So two
//! batches with the same keys in any order cannot wait for each other.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use super::{
    Cache, Loaded,
    steps::{Asked, Run, Wants},
};
use crate::{
    KeyPart,
    engine::KeyRef,
    flights::{Began, Flight, Landed, Lead, Outcome, Part, running},
    key::KeyEncoder,
};

/// What became of one key of a batch.
type Answer<V, E> = Result<Option<V>, Arc<E>>;

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Looks many keys up, and loads those that are missing with one call of the
    /// loader; the answers are in the order of the keys.
    ///
    /// The loader is given the keys that are missing, each once and in their order,
    /// and returns for each of them, in that order, its value or that there is
    /// none; what it leaves out at the end is taken for nothing, and not remembered.
    /// Keys that others load meanwhile are waited for, after the own load. Should
    /// such a load come to nothing (its caller panicked, or had another error
    /// type), the loader is called once more, for those keys.
    ///
    /// As in [`Self::get_or_load_optional`], that there is nothing is remembered for
    /// the namespace's `negative_ttl`. Values that are due for a refresh are
    /// taken as they are: a batch renews nothing. What a load took is divided
    /// evenly among its keys.
    ///
    /// # Errors
    ///
    /// The loader's error, shared, for each key that it was to load; the others have
    /// their answers all the same.
    pub fn get_or_load_many<K, E>(
        &self,
        keys: &[K],
        mut loader: impl FnMut(&[&K]) -> Result<Vec<Option<V>>, E>,
    ) -> Vec<Result<Option<V>, Arc<E>>>
    where
        K: KeyPart,
        E: Send + Sync + 'static,
    {
        self.load_batch(keys, |missing| each_of(missing.len(), loader(missing)))
    }

    /// Looks many keys up, as [`Self::get_or_load_many`] does, without blocking.
    ///
    /// # Errors
    ///
    /// The loader's error, shared, for each key that it was to load.
    pub async fn get_or_load_many_async<'k, K, E, F>(
        &self,
        keys: &'k [K],
        mut loader: impl FnMut(Vec<&'k K>) -> F,
    ) -> Vec<Result<Option<V>, Arc<E>>>
    where
        K: KeyPart,
        E: Send + Sync + 'static,
        F: Future<Output = Result<Vec<Option<V>>, E>>,
    {
        let loader = |missing: Vec<&'k K>| {
            let count = missing.len();
            let loading = loader(missing);
            async move { each_of(count, loading.await) }
        };
        self.load_batch_async(keys, loader).await
    }

    /// Fetches many keys: as [`Self::get_or_load_many`], with a loader that says of
    /// each key how to keep what it brings, or why it brings nothing.
    ///
    /// # Errors
    ///
    /// Each key's own.
    pub fn fetch_many<K, E>(
        &self,
        keys: &[K],
        mut loader: impl FnMut(&[&K]) -> Vec<Result<Loaded<V>, E>>,
    ) -> Vec<Result<Option<V>, Arc<E>>>
    where
        K: KeyPart,
        E: Send + Sync + 'static,
    {
        self.load_batch(keys, |missing| shared(loader(missing)))
    }

    /// Fetches many keys, as [`Self::fetch_many`] does, without blocking.
    ///
    /// # Errors
    ///
    /// Each key's own.
    pub async fn fetch_many_async<'k, K, E, F>(
        &self,
        keys: &'k [K],
        mut loader: impl FnMut(Vec<&'k K>) -> F,
    ) -> Vec<Result<Option<V>, Arc<E>>>
    where
        K: KeyPart,
        E: Send + Sync + 'static,
        F: Future<Output = Vec<Result<Loaded<V>, E>>>,
    {
        let loader = |missing: Vec<&'k K>| {
            let loading = loader(missing);
            async move { shared(loading.await) }
        };
        self.load_batch_async(keys, loader).await
    }

    fn load_batch<K, E>(
        &self,
        keys: &[K],
        mut loader: impl FnMut(&[&K]) -> Vec<Result<Loaded<V>, Arc<E>>>,
    ) -> Vec<Answer<V, E>>
    where
        K: KeyPart,
        E: Send + Sync + 'static,
    {
        let mut batch = Batch::ask(self, keys);
        while let Some(round) = batch.round() {
            if !round.own.is_empty() {
                let missing: Vec<&K> = round.own.iter().map(|own| &keys[own.key]).collect();
                let run = Run::start(self, missing.len());
                let brought = running(round.leads(), || loader(&missing));
                batch.land(round.own, run, brought);
            }
            for followed in round.followed {
                let outcome = followed.flight.wait();
                batch.followed(&followed, outcome);
            }
        }
        batch.answers()
    }

    async fn load_batch_async<'k, K, E, F>(
        &self,
        keys: &'k [K],
        mut loader: impl FnMut(Vec<&'k K>) -> F,
    ) -> Vec<Answer<V, E>>
    where
        K: KeyPart,
        E: Send + Sync + 'static,
        F: Future<Output = Vec<Result<Loaded<V>, Arc<E>>>>,
    {
        let mut batch = Batch::ask(self, keys);
        while let Some(round) = batch.round() {
            if !round.own.is_empty() {
                let missing: Vec<&'k K> = round.own.iter().map(|own| &keys[own.key]).collect();
                let run = Run::start(self, missing.len());
                let mut loading = pin!(running(round.leads(), || loader(missing)));
                let brought =
                    poll_fn(|context| running(round.leads(), || loading.as_mut().poll(context))).await;
                batch.land(round.own, run, brought);
            }
            for followed in round.followed {
                let outcome = match Arc::clone(&followed.flight).follow() {
                    None => None,
                    Some(follow) => Some(follow.await),
                };
                batch.followed(&followed, outcome);
            }
        }
        batch.answers()
    }
}

/// Divides the answer of a loader among the keys that it was to load.
fn each_of<V, E>(count: usize, brought: Result<Vec<Option<V>>, E>) -> Vec<Result<Loaded<V>, Arc<E>>> {
    match brought {
        Ok(values) => values.into_iter().map(|value| Ok(Loaded::from(value))).collect(),
        Err(error) => {
            let error = Arc::new(error);
            (0..count).map(|_| Err(Arc::clone(&error))).collect()
        }
    }
}

fn shared<V, E>(brought: Vec<Result<Loaded<V>, E>>) -> Vec<Result<Loaded<V>, Arc<E>>> {
    brought.into_iter().map(|result| result.map_err(Arc::new)).collect()
}

/// Keys that are looked up together.
struct Batch<'a, V: Clone + Send + Sync + 'static, E> {
    cache: &'a Cache<V>,
    encoded: Vec<KeyEncoder>,
    /// Where the same key was first, for each.
    first: Vec<usize>,
    answers: Vec<Option<Answer<V, E>>>,
    /// Which keys have no answer yet, and whether they are to be loaded alone.
    open: Vec<(usize, bool)>,
}

/// What is to be done next about the keys that have no answer yet.
struct Round<V> {
    own: Vec<Own<V>>,
    followed: Vec<Followed<V>>,
}

/// A key that the batch loads; without a lead, it keeps the value to itself.
struct Own<V> {
    key: usize,
    lead: Option<Lead<Landed<V>>>,
}

/// A key that someone else loads.
struct Followed<V> {
    key: usize,
    asked: Began,
    flight: Arc<Flight<Landed<V>>>,
}

impl<V> Round<V> {
    fn leads(&self) -> impl Iterator<Item = u64> {
        self.own.iter().filter_map(|own| own.lead.as_ref().map(Lead::id))
    }
}

impl<'a, V: Clone + Send + Sync + 'static, E: Send + Sync + 'static> Batch<'a, V, E> {
    /// Looks all keys up.
    fn ask<K: KeyPart>(cache: &'a Cache<V>, keys: &[K]) -> Self {
        let encoded: Vec<KeyEncoder> = keys.iter().map(|key| cache.encode(key)).collect();
        let mut places = HashMap::with_capacity(keys.len());
        let mut batch =
            Self { cache, encoded: Vec::new(), first: Vec::new(), answers: Vec::new(), open: Vec::new() };
        for (index, key) in encoded.iter().enumerate() {
            let (answer, alone) = match cache.ask(&cache.key_ref(key), Wants::AnAnswer) {
                Asked::Found(found) => (Some(Ok(found.value)), false),
                Asked::Missed => (None, false),
                Asked::Bypassed => (None, true),
            };
            let first = match places.entry(key.as_bytes()) {
                Entry::Occupied(first) => *first.get(),
                Entry::Vacant(place) => *place.insert(index),
            };
            if answer.is_none() && first == index {
                batch.open.push((index, alone));
            }
            batch.first.push(first);
            batch.answers.push(answer);
        }
        batch.encoded = encoded;
        batch
    }

    fn key(&self, index: usize) -> KeyRef<'_> {
        self.cache.key_ref(&self.encoded[index])
    }

    /// Takes the lead for every key that nobody loads, without waiting for anyone;
    /// `None` when all have their answers.
    fn round(&mut self) -> Option<Round<V>> {
        if self.open.is_empty() {
            return None;
        }
        let mut round = Round { own: Vec::new(), followed: Vec::new() };
        for (index, alone) in std::mem::take(&mut self.open) {
            let asked = self.cache.began();
            let part = if alone { Part::Alone } else { self.cache.join(&self.key(index), asked) };
            match part {
                Part::Alone => round.own.push(Own { key: index, lead: None }),
                Part::Follow(flight) => round.followed.push(Followed { key: index, asked, flight }),
                Part::Lead(lead) => {
                    match self.cache.found_after_all(&self.key(index), Wants::AnAnswer, lead) {
                        Ok(value) => self.answers[index] = Some(Ok(value)),
                        Err(lead) => round.own.push(Own { key: index, lead: Some(lead) }),
                    }
                }
            }
        }
        Some(round)
    }

    /// Stores what the loader brought, tells the others, and notes the answers.
    fn land(&mut self, own: Vec<Own<V>>, run: Run<'_, V>, mut brought: Vec<Result<Loaded<V>, Arc<E>>>) {
        brought.resize_with(own.len(), || Ok(Loaded { store: false, ..Loaded::nothing() }));
        let results: Vec<_> = brought.iter().map(Result::as_ref).collect();
        let took = run.ended(&results);
        for (own, result) in own.into_iter().zip(brought) {
            self.answers[own.key] = Some(match own.lead {
                Some(lead) => self.cache.land(lead, false, took, result),
                None => result.map(|loaded| {
                    self.cache.would_store(&self.key(own.key), &loaded, took);
                    loaded.value
                }),
            });
        }
    }

    /// Notes what a load of someone else came to; `None` when waiting for it would
    /// never end.
    fn followed(&mut self, followed: &Followed<V>, outcome: Option<Outcome<Landed<V>>>) {
        let alone = outcome.is_none();
        let answer = outcome.and_then(|outcome| {
            self.cache.outcome_for(followed.asked, Wants::AnAnswer, followed.flight.began(), outcome)
        });
        match answer {
            Some(answer) => self.answers[followed.key] = Some(answer),
            None => self.open.push((followed.key, alone)),
        }
    }

    fn answers(mut self) -> Vec<Answer<V, E>> {
        for index in 0..self.answers.len() {
            if self.answers[index].is_none() {
                // The same key has the same answer.
                self.answers[index] = match &self.answers[self.first[index]] {
                    Some(Ok(value)) => Some(Ok(value.clone())),
                    Some(Err(error)) => Some(Err(Arc::clone(error))),
                    None => unreachable!("a batch goes on until every key has its answer"),
                };
            }
        }
        self.answers.into_iter().flatten().collect()
    }
}
