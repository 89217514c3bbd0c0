"""What the lessons are made of: predictions, checks of what really happened, and recordings.

A lesson's notebook says ``lesson = Lesson("01")`` and then asks, tries and checks. A host that allows no
container shows, for each cell that would need one, why not, the plan, and what it showed elsewhere.
"""

from sandcell.magics.lesson.lesson import Lesson

__all__ = ["Lesson"]
