"""Whether the web server hears from a part of Airflow: ``healthy.py scheduler``. ``airflow jobs check`` takes seconds of a processor each time."""

import json
import sys
import urllib.request

with urllib.request.urlopen("http://api-server:8080/api/v2/monitor/health", timeout=10) as answer:
    status = json.load(answer)[sys.argv[1]]["status"]
print(status)
sys.exit(status != "healthy")
