from .client import Channel as Channel
from .client import Connection as Connection
from .client import ConnectionLost as ConnectionLost
from .client import OtherHistory as OtherHistory
from .client import WebsocketProvider as WebsocketProvider
from .client import connect as connect
from .errors import AccessDenied as AccessDenied
from .errors import AddressError as AddressError
from .errors import EngineroomError as EngineroomError
from .errors import LimitExceeded as LimitExceeded
from .errors import ProtocolError as ProtocolError
from .errors import RoomClosed as RoomClosed
from .errors import SettingsError as SettingsError
from .errors import StoreError as StoreError
from .rooms.address import Address as Address
from .rooms.handles import RoomHandle as RoomHandle
from .rooms.hooks import Hooks as Hooks
from .rooms.members import Access as Access
from .rooms.members import MemberInfo as MemberInfo
from .rooms.members import User as User
from .rooms.open_rooms import Rooms as Rooms
from .server.authority import Allowed as Allowed
from .server.embedding import Application as Application
from .server.embedding import Server as Server
from .server.embedding import serve as serve
from .server.request import Request as Request

__version__: str
