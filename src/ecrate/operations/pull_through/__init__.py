"""Pull through cache: what is asked for and not there is fetched from the upstream of a rule.

AWS: user guide, "Sync an upstream registry with an Amazon ECR private registry".
"""

from __future__ import annotations
