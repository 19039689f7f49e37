//! Several processes that train one model: libtorch's TCP store and Gloo collectives, NCCL between CUDA devices, and gradients
//! that are summed while the backward pass goes on. All processes call the same functions in the same order.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tch::Tensor;

use crate::border::{LOST, owned, pointers, unwind_if_lost};

unsafe extern "C" {
    fn torch_ext_group_quiet();
    fn torch_ext_store_serve(port: *mut u16, store: *mut *mut c_void) -> *mut c_char;
    fn torch_ext_store_free(store: *mut c_void);
    fn torch_ext_group_join(
        host: *const c_char,
        port: u16,
        serves: bool,
        name: *const c_char,
        rank: c_int,
        world: c_int,
        timeout_ms: i64,
        group: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_group_free(group: *mut c_void);
    fn torch_ext_group_collectives(group: *const c_void, tensor: *const c_void) -> *mut c_char;
    fn torch_ext_group_sum(group: *const c_void, tensor: *const c_void) -> *mut c_char;
    fn torch_ext_group_broadcast(group: *const c_void, tensor: *const c_void) -> *mut c_char;
    fn torch_ext_group_set(
        group: *const c_void,
        key: *const c_char,
        value: *const u8,
        size: usize,
    ) -> *mut c_char;
    fn torch_ext_group_get(
        group: *const c_void,
        key: *const c_char,
        write: unsafe extern "C" fn(*mut c_void, *const u8, usize),
        to: *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_group_failure(group: *const c_void) -> *mut c_char;
    fn torch_ext_group_has(group: *const c_void, key: *const c_char, has: *mut bool) -> *mut c_char;
    fn torch_ext_buckets_new(
        group: *const c_void,
        parameters: *const *const c_void,
        count: usize,
        first_bytes: i64,
        bytes: i64,
        buckets: *mut *mut c_void,
    ) -> *mut c_char;
    fn torch_ext_buckets_free(buckets: *mut c_void);
    fn torch_ext_buckets_finish(buckets: *mut c_void) -> *mut c_char;
}

/// A store or a process that does not answer: what libtorch says of it, in its first line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GroupError(String);

fn checked(message: *mut c_char) -> Result<(), GroupError> {
    first_line(owned(message))
}

/// An error with the first line of a message: stack frames follow in the next.
fn first_line(message: Option<String>) -> Result<(), GroupError> {
    let Some(message) = message else { return Ok(()) };
    Err(GroupError(message.trim_start_matches(LOST).lines().next().unwrap_or_default().to_owned()))
}

fn text(value: &str) -> Result<CString, GroupError> {
    CString::new(value).map_err(|_| GroupError(format!("{value:?} has a NUL")))
}

/// The processes of a training, seen from one of them. Copies are the same group.
#[derive(Clone, Default)]
pub struct Group(Option<Arc<Joined>>);

struct Joined {
    group: *mut c_void,
    rank: usize,
    world: usize,
    timeout: Duration,
}

// SAFETY: the C++ object holds handles whose functions lock what they change; the order of collectives is up to the
// caller, as it is between processes.
unsafe impl Send for Joined {}
// SAFETY: as above.
unsafe impl Sync for Joined {}

impl Drop for Joined {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_group_join`, freed once.
        unsafe { torch_ext_group_free(self.group) }
    }
}

impl Group {
    /// One process, without any store or collective: every function returns what it was given.
    pub fn alone() -> Self {
        Self::default()
    }

    /// Meets the other processes of the group `name` at the store of this host and port, which one of them serves, or a process
    /// that is not one of them. A store can serve several groups, one after the other. `timeout` is the longest wait for them, here and in every collective.
    ///
    /// # Errors
    /// When the store is not there, or a process does not come.
    pub fn join(
        (host, port): (&str, u16),
        serves: bool,
        name: &str,
        [rank, world]: [usize; 2],
        timeout: Duration,
    ) -> Result<Self, GroupError> {
        let (host, name) = (text(host)?, text(name)?);
        let mut group = std::ptr::null_mut();
        // SAFETY: a string that outlives the call; C++ throws are returned.
        checked(unsafe {
            torch_ext_group_quiet();
            torch_ext_group_join(
                host.as_ptr(),
                port,
                serves,
                name.as_ptr(),
                rank as c_int,
                world as c_int,
                timeout.as_millis() as i64,
                &mut group,
            )
        })?;
        Ok(Self(Some(Arc::new(Joined { group, rank, world, timeout }))))
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |joined| joined.rank)
    }

    /// The number of processes.
    pub fn world(&self) -> usize {
        self.0.as_ref().map_or(1, |joined| joined.world)
    }

    /// The longest wait for another process; none alone.
    pub fn timeout(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |joined| joined.timeout)
    }

    /// Whether this is the only process.
    pub fn is_alone(&self) -> bool {
        self.0.is_none()
    }

    /// What sums tensors of the kind of `tensor`'s device, in words: `NCCL 2.28.9` between CUDA devices, or `Gloo`, and why
    /// not NCCL. All processes ask together, the first time; `None` for one process, or when another one is lost.
    pub fn collectives(&self, tensor: &Tensor) -> Option<String> {
        let joined = self.0.as_ref()?;
        // SAFETY: a tensor that outlives the call; the text is freed by `owned`.
        owned(unsafe { torch_ext_group_collectives(joined.group, tensor.as_ptr() as *const c_void) })
    }

    /// Replaces a dense tensor by its sum over all processes; all receive the same bits.
    ///
    /// # Panics
    /// When another process is lost, because layers have no other way to end a step. [`Group::failure`] then says so.
    pub fn sum(&self, tensor: &Tensor) {
        // SAFETY: a tensor that outlives the call; C++ throws are returned.
        self.call(|group| unsafe { torch_ext_group_sum(group, tensor.as_ptr() as *const c_void) });
    }

    /// The sums of counts over all processes.
    ///
    /// # Panics
    /// As [`Group::sum`].
    pub fn sum_counts(&self, counts: &mut [i64]) {
        if self.is_alone() {
            return;
        }
        let tensor = Tensor::from_slice(counts);
        self.sum(&tensor);
        tensor.copy_data(counts, counts.len());
    }

    /// Waits for the other processes.
    ///
    /// # Panics
    /// As [`Group::sum`].
    pub fn wait_for_all(&self) {
        self.sum_counts(&mut [0]);
    }

    /// The rows of all processes, in the order of the processes, without a gradient. Their numbers may differ.
    ///
    /// # Panics
    /// As [`Group::sum`].
    pub fn gather(&self, rows: &Tensor) -> Tensor {
        self.gather_with_place(rows).0
    }

    /// As [`Group::gather`], and where the rows of this process begin.
    ///
    /// # Panics
    /// As [`Group::sum`].
    pub fn gather_with_place(&self, rows: &Tensor) -> (Tensor, i64) {
        if self.is_alone() {
            return (rows.detach(), 0);
        }
        let mut shape = rows.size();
        let mut counts = vec![0; self.world()];
        counts[self.rank()] = shape[0];
        self.sum_counts(&mut counts);
        let first = counts[..self.rank()].iter().sum();
        shape[0] = counts.iter().sum();
        // A sum in which each row is not 0 in one process alone is exact.
        let all = Tensor::zeros(&shape, (rows.kind(), rows.device()));
        all.narrow(0, first, rows.size()[0]).copy_(&rows.detach());
        self.sum(&all);
        (all, first)
    }

    /// Replaces a tensor by that of process 0.
    ///
    /// # Panics
    /// As [`Group::sum`].
    pub fn broadcast(&self, tensor: &Tensor) {
        // SAFETY: a tensor that outlives the call; C++ throws are returned.
        self.call(|group| unsafe { torch_ext_group_broadcast(group, tensor.as_ptr() as *const c_void) });
    }

    fn call(&self, function: impl FnOnce(*const c_void) -> *mut c_char) {
        let Some(joined) = &self.0 else { return };
        ended(function(joined.group));
    }

    /// Why a collective failed, once one has.
    pub fn failure(&self) -> Option<GroupError> {
        let joined = self.0.as_ref()?;
        // SAFETY: the group is alive; the text is freed by `owned`.
        first_line(owned(unsafe { torch_ext_group_failure(joined.group) })).err()
    }

    /// Sets a value in the store; without others, nothing is done.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), GroupError> {
        let Some(joined) = &self.0 else { return Ok(()) };
        let key = text(key)?;
        // SAFETY: a string and bytes that outlive the call; C++ throws are returned.
        checked(unsafe { torch_ext_group_set(joined.group, key.as_ptr(), value.as_ptr(), value.len()) })
    }

    /// Waits for a value that some process sets in the store.
    ///
    /// # Errors
    /// When the store does not answer, or nobody sets the value in time; always without others.
    pub fn get(&self, key: &str) -> Result<Vec<u8>, GroupError> {
        unsafe extern "C" fn write(to: *mut c_void, bytes: *const u8, size: usize) {
            // SAFETY: `to` is the vector below, and the bytes are readable during the call.
            unsafe { (*to.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(bytes, size)) }
        }
        let alone = || GroupError(format!("{key}: there is only one process"));
        let joined = self.0.as_ref().ok_or_else(alone)?;
        let (key, mut value) = (text(key)?, Vec::<u8>::new());
        // SAFETY: as above.
        checked(unsafe {
            torch_ext_group_get(joined.group, key.as_ptr(), write, (&raw mut value).cast::<c_void>())
        })?;
        Ok(value)
    }

    /// Whether some process has set a value in the store.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn has(&self, key: &str) -> Result<bool, GroupError> {
        let Some(joined) = &self.0 else { return Ok(false) };
        let (key, mut has) = (text(key)?, false);
        // SAFETY: as above.
        checked(unsafe { torch_ext_group_has(joined.group, key.as_ptr(), &mut has) })?;
        Ok(has)
    }

    pub(crate) fn pointer(&self) -> *const c_void {
        self.0.as_ref().map_or(std::ptr::null(), |joined| joined.group as *const c_void)
    }
}

/// Ends a collective: leaves the step if a process is lost.
fn ended(message: *mut c_char) {
    if let Some(message) = owned(message) {
        unwind_if_lost(&message);
        panic!("{message}");
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Group {{ rank: {}, world: {} }}", self.rank(), self.world())
    }
}

/// A store for the processes of a training, served by a process that is not one of them.
pub struct StoreServer {
    store: *mut c_void,
    port: u16,
}

impl StoreServer {
    /// Serves on this port, or for 0 on one that the system chooses.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start(mut port: u16) -> Result<Self, GroupError> {
        let mut store = std::ptr::null_mut();
        // SAFETY: pointers to local variables; C++ throws are returned.
        checked(unsafe {
            torch_ext_group_quiet();
            torch_ext_store_serve(&mut port, &mut store)
        })?;
        Ok(Self { store, port })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_store_serve`, freed once.
        unsafe { torch_ext_store_free(self.store) }
    }
}

/// The sums of gradients over all processes, in flat buffers: a sum begins as soon as a buffer's gradients are complete,
/// while the backward pass goes on.
pub struct Buckets {
    buckets: *mut c_void,
    /// Outlives the buckets.
    _group: Arc<Joined>,
}

/// Bytes of the first buffer, whose sum so begins early, and of the others (as PyTorch's).
const BUCKET_BYTES: [i64; 2] = [1 << 20, 25 << 20];

impl Buckets {
    /// Watches the gradients of these parameters, which are of one kind; `None` for one process. The gradients of the last
    /// parameters are expected first.
    pub fn new(group: &Group, parameters: &[Tensor]) -> Option<Self> {
        let joined = Arc::clone(group.0.as_ref()?);
        let reversed: Vec<_> = parameters.iter().rev().map(Tensor::shallow_clone).collect();
        let (pointers, mut buckets) = (pointers(&reversed), std::ptr::null_mut());
        let [first, others] = BUCKET_BYTES;
        // SAFETY: tensors that outlive the call; the group outlives the buckets, which hold it; C++ throws are returned.
        let made = unsafe {
            torch_ext_buckets_new(
                joined.group,
                pointers.as_ptr(),
                pointers.len(),
                first,
                others,
                &mut buckets,
            )
        };
        ended(made);
        Some(Self { buckets, _group: joined })
    }

    /// After a backward pass, or where there is none to run: waits until every gradient is the sum of all processes'.
    ///
    /// # Panics
    /// As [`Group::sum`].
    pub fn finish(&self) {
        // SAFETY: made by `torch_ext_buckets_new`; C++ throws are returned.
        ended(unsafe { torch_ext_buckets_finish(self.buckets) });
    }
}

impl Drop for Buckets {
    fn drop(&mut self) {
        // SAFETY: made by `torch_ext_buckets_new`, freed once.
        unsafe { torch_ext_buckets_free(self.buckets) }
    }
}
