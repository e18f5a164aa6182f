from copilot.client.result import Result as Result
from copilot.errors import CopilotError as CopilotError
from copilot.errors import ExecutorBroken as ExecutorBroken
from copilot.errors import JobFailed as JobFailed
from copilot.errors import NotPicklable as NotPicklable
from copilot.job import State as State
from copilot.python import Client as Client
from copilot.python import Executor as Executor
from copilot.python import Options as Options

__version__: str
