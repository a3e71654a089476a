# What type checkers see of the package; its names are imported when first used, which a checker cannot follow.
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from singlab.sing.classes import ClassProgram as ClassProgram
from singlab.sing.classes import managed as managed
from singlab.sing.names import Array as Array
from singlab.sing.names import Borrowed as Borrowed
from singlab.sing.names import ChannelClosed as ChannelClosed
from singlab.sing.names import Child as Child
from singlab.sing.names import ESet as ESet
from singlab.sing.names import Event as Event
from singlab.sing.names import ExVec as ExVec
from singlab.sing.names import Interrupt as Interrupt
from singlab.sing.names import IoMemory as IoMemory
from singlab.sing.names import Mutex as Mutex
from singlab.sing.names import ProcessState as ProcessState
from singlab.sing.names import Shared as Shared
from singlab.sing.names import Unsatisfiable as Unsatisfiable
from singlab.sing.names import array as array
from singlab.sing.names import char as char
from singlab.sing.names import connect as connect
from singlab.sing.names import copy as copy
from singlab.sing.names import create as create
from singlab.sing.names import cycles as cycles
from singlab.sing.names import cycles_per_second as cycles_per_second
from singlab.sing.names import dma_address as dma_address
from singlab.sing.names import dma_memory as dma_memory
from singlab.sing.names import event as event
from singlab.sing.names import exchange as exchange
from singlab.sing.names import fill as fill
from singlab.sing.names import free as free
from singlab.sing.names import i8 as i8
from singlab.sing.names import i16 as i16
from singlab.sing.names import i32 as i32
from singlab.sing.names import i64 as i64
from singlab.sing.names import interrupt as interrupt
from singlab.sing.names import io_memory as io_memory
from singlab.sing.names import join as join
from singlab.sing.names import manual_event as manual_event
from singlab.sing.names import mark as mark
from singlab.sing.names import mutex as mutex
from singlab.sing.names import new as new
from singlab.sing.names import new_channel as new_channel
from singlab.sing.names import peer_principal as peer_principal
from singlab.sing.names import principal as principal
from singlab.sing.names import process_id as process_id
from singlab.sing.names import receive as receive
from singlab.sing.names import register as register
from singlab.sing.names import share as share
from singlab.sing.names import sleep as sleep
from singlab.sing.names import sleep_until as sleep_until
from singlab.sing.names import speaks_for as speaks_for
from singlab.sing.names import split as split
from singlab.sing.names import thread as thread
from singlab.sing.names import thread_id as thread_id
from singlab.sing.names import thread_state as thread_state
from singlab.sing.names import to_array as to_array
from singlab.sing.names import to_vector as to_vector
from singlab.sing.names import truncate as truncate
from singlab.sing.names import u8 as u8
from singlab.sing.names import u16 as u16
from singlab.sing.names import u32 as u32
from singlab.sing.names import u64 as u64
from singlab.sing.names import wait_any as wait_any
from singlab.sing.names import yield_ as yield_

_Function = TypeVar("_Function", bound=Callable[..., Any])

class Program:
    name: str
    source: str
    filename: str
    entry: bool

class SipError(Exception):
    rule: str
    message: str
    hint: str
    filename: str
    line: int
    column: int
    source_line: str

class SourceUnit:
    contracts: dict[str, Any]
    programs: dict[str, Program]
    functions: dict[str, Program]
    constants: dict[str, int]

# the checker's plugin (singlab.sing.typecheck) makes a type of what it returns
def contract(text: str, filename: str = ...) -> Any: ...
@overload
def sip(function: Callable[..., Any], /) -> Program: ...
@overload
def sip(
    *,
    name: str = ...,
    version: str = ...,
    publisher: str = ...,
    category: str = ...,
    io_memory: list[tuple[int, int]] = ...,
    interrupts: list[int] = ...,
    dma: list[int] = ...,
    isolation: str = ...,
    imports: list[str] = ...,
    exports: list[str] = ...,
    provides: list[str | tuple[str, str]] = ...,
    wants: list[str] = ...,
    extensions: list[tuple[str, str]] = ...,
    collector: str = ...,
    heap_bytes: int = ...,
) -> Callable[[Callable[..., Any]], Program]: ...
def function(function: _Function, /) -> _Function: ...
def programs_from_source(text: str, filename: str = ..., names: Mapping[str, Any] | None = ...) -> SourceUnit: ...
def compile(program: Program) -> Any: ...
def compile_program(program: Program) -> Any: ...
def build(program: Program, verify: bool = ..., checks: bool = ..., optimiser: bool = ..., carry_sil: bool = ...) -> Any: ...
def install(system: Any, image: Any, reverify: bool = ...) -> Any: ...
def explore(program: Any, optimiser: bool = ...) -> Any: ...
def verify(module: Any, collect: bool = ...) -> Any: ...
def parse_sil(text: str, filename: str = ...) -> Any: ...
def format_module(module: Any) -> str: ...
def __getattr__(name: str) -> Any: ...
