use super::given::{first_node, tasks_of_node};
use super::*;

/// `NAME=value` words, as a launcher sets them; later words win.
fn found(words: &str) -> Result<Option<Membership>, MembershipError> {
    Membership::from_environment(&|name| variable(words, name))
}

fn variable(words: &str, name: &str) -> Option<String> {
    let pairs = words.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next_back()
}

fn place(
    [rank, world, local_rank, local_world]: [usize; 4],
    (host, port, served_by): (&str, u16, ServedBy),
    launcher: Launcher,
) -> Result<Option<Membership>, MembershipError> {
    let store = StoreAddress { host: host.to_owned(), port, served_by };
    Ok(Some(Membership { rank, world, local_rank, local_world, store, restarts: 0, launcher }))
}

fn message(words: &str) -> String {
    found(words).unwrap_err().to_string()
}

/// `torchrun --nproc-per-node=2 --nnodes=2 --max-restarts=3` with the c10d rendezvous, second machine.
const TORCHRUN: &str = "LOCAL_RANK=1 RANK=3 GROUP_RANK=1 ROLE_RANK=3 ROLE_NAME=default LOCAL_WORLD_SIZE=2 WORLD_SIZE=4 \
    GROUP_WORLD_SIZE=2 ROLE_WORLD_SIZE=4 MASTER_ADDR=trainer-0.local MASTER_PORT=41739 TORCHELASTIC_RESTART_COUNT=0 \
    TORCHELASTIC_MAX_RESTARTS=3 TORCHELASTIC_RUN_ID=none TORCHELASTIC_USE_AGENT_STORE=True OMP_NUM_THREADS=1";

/// `srun` on three nodes with eleven tasks, the fourth one of the first node.
const SRUN: &str = "SLURM_NTASKS=11 SLURM_NPROCS=11 SLURM_JOB_ID=1234567 SLURM_JOBID=1234567 SLURM_STEP_ID=2 \
    SLURM_STEPID=2 SLURM_NNODES=3 SLURM_NODELIST=gnode[07,10-12],x3 SLURM_TASKS_PER_NODE=4(x2),3 \
    SLURM_STEP_NODELIST=gnode[07,10-11] SLURM_STEP_NUM_NODES=3 SLURM_STEP_NUM_TASKS=11 \
    SLURM_STEP_TASKS_PER_NODE=4(x2),3 SLURM_NODEID=0 SLURM_PROCID=3 SLURM_LOCALID=3 SLURM_GTIDS=0,1,2,3 \
    SLURM_LAUNCH_NODE_IPADDR=172.31.82.82 SLURMD_NODENAME=gnode07";

/// What sbatch sets in the script itself: a place in the job, but none in a step.
const BATCH: &str = "SLURM_NTASKS=8 SLURM_NPROCS=8 SLURM_JOB_ID=77 SLURM_NNODES=2 SLURM_NODELIST=n[1-2] \
    SLURM_TASKS_PER_NODE=4(x2) SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0";

const OPEN_MPI: &str = "OMPI_COMM_WORLD_RANK=5 OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_LOCAL_RANK=1 \
    OMPI_COMM_WORLD_LOCAL_SIZE=4 OMPI_COMM_WORLD_NODE_RANK=1 OMPI_UNIVERSE_SIZE=8 PMIX_RANK=5 MASTER_ADDR=a MASTER_PORT=29500";

const MPICH: &str = "PMI_RANK=2 PMI_SIZE=3 PMI_FD=9 MPI_LOCALRANKID=2 MPI_LOCALNRANKS=3 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500";

#[test]
fn each_launcher_is_known_by_its_variables() {
    use ServedBy::{Launcher as ByLauncher, RankZero};
    let torchrun = ("trainer-0.local", 41_739, ByLauncher);
    assert_eq!(found(TORCHRUN), place([3, 4, 1, 2], torchrun, Launcher::Torchrun));
    let served_by_rank_0 = TORCHRUN.replace("STORE=True", "STORE=False");
    let address = ("trainer-0.local", 41_739, RankZero);
    assert_eq!(found(&served_by_rank_0), place([3, 4, 1, 2], address, Launcher::Torchrun));
    let own = format!("{TORCHRUN} DENSESIAM_LAUNCHER=parent");
    assert_eq!(found(&own), place([3, 4, 1, 2], torchrun, Launcher::OwnParent));
    assert_eq!(found(SRUN), place([3, 11, 3, 4], ("gnode07", 19_569, RankZero), Launcher::Slurm));
    let last = format!("{SRUN} SLURM_NODEID=2 SLURM_PROCID=10 SLURM_LOCALID=2");
    assert_eq!(found(&last), place([10, 11, 2, 3], ("gnode07", 19_569, RankZero), Launcher::Slurm));
    assert_eq!(found(OPEN_MPI), place([5, 8, 1, 4], ("a", 29_500, RankZero), Launcher::OpenMpi));
    assert_eq!(found(MPICH), place([2, 3, 2, 3], ("10.0.0.1", 29_500, RankZero), Launcher::Mpich));
}

#[test]
fn the_innermost_launcher_counts() {
    let launcher = |words: &str| found(words).unwrap().map(|membership| membership.launcher);
    let all = format!("{SRUN} {OPEN_MPI} {MPICH} {TORCHRUN} DENSESIAM_LAUNCHER=parent");
    assert_eq!(launcher(&all), Some(Launcher::OwnParent));
    assert_eq!(launcher(&format!("{SRUN} {OPEN_MPI} {TORCHRUN}")), Some(Launcher::Torchrun));
    assert_eq!(launcher(&format!("{BATCH} {OPEN_MPI}")), Some(Launcher::OpenMpi));
    assert_eq!(launcher(&format!("{MPICH} {OPEN_MPI}")), Some(Launcher::OpenMpi));
    // `srun --mpi=pmi2` sets PMI's variables to the step's numbers.
    assert_eq!(launcher(&format!("{SRUN} PMI_RANK=3 PMI_SIZE=11")), Some(Launcher::Slurm));
    // `srun --pty bash`, and mpirun in it; and the daemons that mpirun starts by srun, one on each machine.
    let shell = "SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0";
    assert_eq!(launcher(&format!("{shell} {OPEN_MPI}")), Some(Launcher::OpenMpi));
    assert_eq!(launcher(&format!("{shell} {MPICH}")), Some(Launcher::Mpich));
    assert_eq!(launcher(&format!("{shell} {OPEN_MPI} OMPI_COMM_WORLD_RANK=0")), Some(Launcher::OpenMpi));
    assert_eq!(launcher(&format!("{SRUN} {OPEN_MPI} OMPI_COMM_WORLD_SIZE=11")), Some(Launcher::OpenMpi));
}

#[test]
fn a_process_without_others_trains_alone() {
    for alone in [
        "",
        "HOME=/root LOCAL_RANK=0 MASTER_ADDR=a",
        "RANK= WORLD_SIZE=",
        "RANK=0 WORLD_SIZE=1",
        "RANK=0 WORLD_SIZE=1 DENSESIAM_LAUNCHER=parent",
        "SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1",
        "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1",
        "PMI_RANK=0 PMI_SIZE=1",
        BATCH,
    ] {
        assert_eq!(found(alone), Ok(None), "{alone}");
    }
}

#[test]
fn variables_that_are_missing_are_named_with_what_to_do() {
    for (words, name, advice) in [
        ("WORLD_SIZE=2", "RANK", "torchrun --no-python"),
        ("RANK=0", "WORLD_SIZE", "unset RANK"),
        ("RANK=0 WORLD_SIZE=2 LOCAL_WORLD_SIZE=1", "LOCAL_RANK", "torchrun --no-python"),
        ("RANK=0 WORLD_SIZE=2 LOCAL_RANK=0", "LOCAL_WORLD_SIZE", "torchrun --no-python"),
        ("RANK=0 WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=2", "MASTER_ADDR", "torchrun"),
        ("RANK=0 WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=2 MASTER_ADDR=a", "MASTER_PORT", "torchrun"),
        ("DENSESIAM_LAUNCHER=parent", "RANK", "densesiam --nproc"),
        ("SLURM_STEP_NUM_TASKS=2", "SLURM_PROCID", "srun"),
        ("SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=0 SLURM_LOCALID=0", "SLURM_STEP_TASKS_PER_NODE", "srun"),
        ("PMI_SIZE=2 PMI_RANK=0", "MPI_LOCALRANKID", "mpirun"),
    ] {
        let message = message(words);
        assert!(message.contains(&format!("but {name} is not set")) && message.contains(advice), "{message}");
    }
    for (mpi, option) in [(OPEN_MPI, "-x MASTER_ADDR=HOST"), (MPICH, "-genv MASTER_ADDR HOST")] {
        let message = message(&format!("{mpi} MASTER_ADDR="));
        assert!(message.contains("MASTER_ADDR is not set") && message.contains(option), "{message}");
    }
    // One process a machine, as operators of clusters start it.
    let one_each = "RANK=1 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=29500";
    assert_eq!(found(one_each), place([1, 2, 0, 1], ("a", 29_500, ServedBy::RankZero), Launcher::Torchrun));
    assert_eq!(
        message("RANK=0 WORLD_SIZE=2 LOCAL_RANK=0"),
        "torchrun seems to have started this process, but LOCAL_WORLD_SIZE is not set; start it by torchrun --no-python, \
         or unset RANK and WORLD_SIZE to train alone"
    );
}

#[test]
fn values_that_cannot_be_are_named() {
    for (launcher, change, beginning) in [
        (TORCHRUN, "RANK=4", "RANK is 4, which is too large where WORLD_SIZE is 4; "),
        (TORCHRUN, "RANK=three", "RANK is \"three\", which is not a whole number; "),
        (TORCHRUN, "RANK=-1", "RANK is \"-1\", which is not a whole number; "),
        (TORCHRUN, "WORLD_SIZE=0", "RANK is 3, which is too large where WORLD_SIZE is 0; "),
        (TORCHRUN, "LOCAL_RANK=2", "LOCAL_RANK is 2, which is too large where LOCAL_WORLD_SIZE is 2; "),
        (TORCHRUN, "LOCAL_WORLD_SIZE=5", "LOCAL_WORLD_SIZE is 5, which is too large where WORLD_SIZE is 4; "),
        (TORCHRUN, "MASTER_PORT=70000", "MASTER_PORT is \"70000\", which is not a port, 1 to 65535; "),
        (TORCHRUN, "MASTER_PORT=0", "MASTER_PORT is \"0\", which is not a port, 1 to 65535; "),
        (
            TORCHRUN,
            "TORCHELASTIC_RESTART_COUNT=no",
            "TORCHELASTIC_RESTART_COUNT is \"no\", which is not a whole",
        ),
        (
            SRUN,
            "SLURM_STEP_NODELIST=gnode[07",
            "SLURM_STEP_NODELIST is \"gnode[07\", which is not a list of nodes",
        ),
        (SRUN, "SLURM_NODEID=3", "SLURM_STEP_TASKS_PER_NODE is \"4(x2),3\", which is not a list of tasks"),
        (
            SRUN,
            "SLURM_JOB_ID=next",
            "SLURM_JOB_ID is \"next\", which is not a whole number; start it by srun",
        ),
        (
            SRUN,
            "SLURM_LOCALID=4",
            "SLURM_LOCALID is 4, which is too large where SLURM_STEP_TASKS_PER_NODE is 4; ",
        ),
    ] {
        let message = message(&format!("{launcher} {change}"));
        assert!(message.starts_with(beginning), "{message}");
    }
}

#[test]
fn an_address_that_is_set_comes_before_that_of_the_step() {
    let store = |change: &str| found(&format!("{SRUN} {change}")).unwrap().unwrap().store;
    assert_eq!((store("MASTER_ADDR=ib0").host.as_str(), store("MASTER_ADDR=ib0").port), ("ib0", 19_569));
    assert_eq!(
        (store("MASTER_PORT=29501").host.as_str(), store("MASTER_PORT=29501").port),
        ("gnode07", 29_501)
    );
    // The largest step that Slurm counts still has a port.
    assert_eq!(store("SLURM_JOB_ID=9999 SLURM_STEP_ID=4294959999").port, 15_000 + 9_999 + 9_999);
}

#[test]
fn restarts_of_torchrun_and_of_the_job_add_up() {
    let count = |words: &str| restarts(&|name| variable(words, name));
    assert_eq!(count(""), Ok(0));
    assert_eq!(count("TORCHELASTIC_RESTART_COUNT=2"), Ok(2));
    assert_eq!(count("TORCHELASTIC_RESTART_COUNT=0 SLURM_RESTART_COUNT=1"), Ok(1));
    assert!(
        count("SLURM_RESTART_COUNT=x").unwrap_err().to_string().starts_with("SLURM_RESTART_COUNT is \"x\"")
    );
    let again = format!("{SRUN} SLURM_RESTART_COUNT=3");
    assert_eq!(found(&again).unwrap().unwrap().restarts, 3);
}

#[test]
fn launches_have_names_that_stay() {
    let of = |words: &str, again| launches(&|name| variable(words, name), again);
    assert_eq!(of(TORCHRUN, false), [""; 0], "an id that names nothing");
    let both = "TORCHELASTIC_RUN_ID=a1 TORCHELASTIC_RESTART_COUNT=0 SLURM_JOB_ID=7 SLURM_RESTART_COUNT=2";
    assert_eq!(of(both, false), ["torchrun a1", "slurm 7"]);
    assert_eq!(of(both, true), ["slurm 7"]);
    assert_eq!(
        of("TORCHELASTIC_RUN_ID=a1 TORCHELASTIC_RESTART_COUNT=1 SLURM_JOB_ID=7", true),
        ["torchrun a1"]
    );
    assert_eq!(of("", true), [""; 0]);
}

#[test]
fn a_job_of_several_tasks_without_srun_is_warned_of() {
    let warning = |words: &str| started_without_srun(&|name| variable(words, name));
    assert!(warning(BATCH).is_some_and(|text| text.contains("SLURM_NTASKS is 8") && text.contains("srun")));
    for quiet in ["", "SLURM_NTASKS=1", "SLURM_NTASKS=", "SLURM_NTASKS=many"] {
        assert_eq!(warning(quiet), None, "{quiet}");
    }
}

#[test]
fn the_first_node_of_a_list_is_found() {
    for (list, first) in [
        ("gnode[07,10-12],x3", Some("gnode07")),
        ("x3,gnode[07,10-12]", Some("x3")),
        ("localhost", Some("localhost")),
        ("c5n-st-c5n18xlarge-1", Some("c5n-st-c5n18xlarge-1")),
        ("n[001-128]", Some("n001")),
        ("n[9-10].example.org", Some("n9.example.org")),
        ("rack[0-3]node[08-15]-ib,z", Some("rack0node08-ib")),
        ("", None),
        (",n1", None),
        ("n[1", None),
        ("n[]", None),
        ("n[,1]", None),
        ("n1]", None),
    ] {
        assert_eq!(first_node(list).as_deref(), first, "{list}");
    }
}

#[test]
fn tasks_of_every_node_are_found() {
    let all = |list: &str| (0..).map_while(|node| tasks_of_node(list, node)).collect::<Vec<_>>();
    assert_eq!(all("4(x2),3"), [4, 4, 3]);
    assert_eq!(all("1"), [1]);
    assert_eq!(all("2,1(x3),16"), [2, 1, 1, 1, 16]);
    for list in ["", "x", "4(x2", "4(x)", "(x2)", ",4"] {
        assert!(all(list).is_empty(), "{list}");
    }
    assert_eq!(tasks_of_node("8(x18446744073709551615),1", usize::MAX), Some(1));
}

/// Lists of up to 40 nodes are written as Slurm writes them, and read back.
#[test]
fn what_is_written_as_a_list_is_read_back() {
    let mut state = 1_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for _ in 0..2_000 {
        let (mut nodes, mut parts) = (Vec::new(), Vec::new());
        for _ in 0..=below(3) {
            let prefix = ["n", "gpu-", "rack2node", "a.b"][below(4) as usize];
            let suffix = ["", "-ib", ".local"][below(3) as usize];
            let width = below(5) as usize;
            let mut number = below(30);
            let mut runs = Vec::new();
            for _ in 0..=below(3) {
                let end = number + below(5);
                nodes.extend((number..=end).map(|number| format!("{prefix}{number:0width$}{suffix}")));
                let single = number == end;
                runs.push(if single {
                    format!("{end:0width$}")
                } else {
                    format!("{number:0width$}-{end:0width$}")
                });
                number = end + 2;
            }
            // Slurm leaves the brackets out for a single node.
            let has_brackets = runs.len() > 1 || runs[0].contains('-');
            let numbers = runs.join(",");
            parts.push(if has_brackets {
                format!("{prefix}[{numbers}]{suffix}")
            } else {
                format!("{prefix}{numbers}{suffix}")
            });
        }
        let list = parts.join(",");
        assert_eq!(first_node(&list).as_deref(), Some(nodes[0].as_str()), "{list}");

        let tasks: Vec<usize> = nodes.iter().map(|_| 1 + below(2) as usize).collect();
        let runs = tasks.chunk_by(|one, next| one == next);
        let written: Vec<String> = runs
            .map(
                |run| if run.len() == 1 { run[0].to_string() } else { format!("{}(x{})", run[0], run.len()) },
            )
            .collect();
        let list = written.join(",");
        let read: Vec<usize> = (0..).map_while(|node| tasks_of_node(&list, node)).collect();
        assert_eq!(read, tasks, "{list}");
    }
}
