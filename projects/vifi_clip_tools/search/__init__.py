"""Text-to-video search over the embeddings of a folder of videos."""
from projects.vifi_clip.apis.identity import Identity, identity_of
from .indexing import Outcome, index_videos
from .querying import search_texts, search_videos
from .rows import Entry, Hit, State
from .sheet import contact_sheet
from .store import VideoIndex

__all__ = [
    'Entry', 'Hit', 'Identity', 'Outcome', 'State', 'VideoIndex',
    'contact_sheet', 'identity_of', 'index_videos', 'search_texts',
    'search_videos'
]
