use std::process::ExitCode;

use crate::config::Problems;
use crate::house::Refused;

/// How a command ends other than well.
pub(crate) enum Exit {
    /// 78: the configuration is wrong.
    Config(Problems),
    /// 78: the configuration asks for what this version or this way of running has not.
    Refused(Refused),
    /// 1: `doctor` has findings, which were told.
    Findings,
    /// 69: `doctor` could not look at everything, and found nothing in the rest.
    Unseen,
    /// 2: it was called in a way that cannot be meant.
    Usage(Usage),
    /// 1: anything else.
    Failed(anyhow::Error),
}

/// What is missing or wrong in how a command was called, where the command line alone does not tell.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

const CONFIG: u8 = 78;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 69;

impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Refused>() {
            Ok(refused) => Self::Refused(refused),
            Err(error) => error.downcast::<Usage>().map_or_else(Self::Failed, Self::Usage),
        }
    }
}

#[expect(clippy::print_stderr, reason = "what went wrong is told on standard error")]
pub(super) fn report(exit: Exit) -> ExitCode {
    match exit {
        Exit::Config(problems) => {
            eprint!("{problems}");
            let count = problems.list().len();
            eprintln!(
                "{count} problem{} with the configuration; nothing was started",
                if count == 1 { "" } else { "s" }
            );
            ExitCode::from(CONFIG)
        }
        Exit::Refused(refused) => {
            eprintln!("{refused}; nothing was started");
            ExitCode::from(CONFIG)
        }
        Exit::Findings => ExitCode::FAILURE,
        Exit::Unseen => ExitCode::from(UNAVAILABLE),
        Exit::Usage(usage) => {
            eprintln!("causeway: {usage}");
            ExitCode::from(USAGE)
        }
        Exit::Failed(error) => {
            eprintln!("causeway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Help and version end well; anything else is a usage error.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to do when standard output is gone, and the exit code still says how it went.
    let printed = error.print();
    if error.use_stderr() || printed.is_err() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}
