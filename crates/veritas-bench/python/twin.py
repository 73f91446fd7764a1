"""The same endpoint in FastAPI: GET cache/stats behind a JWT. Prints a token, then serves."""

import sys
import time

import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

SECRET = "a secret of the benchmark, of 32 bytes and more"
app = FastAPI()
bearer = HTTPBearer()
stats = {"hits": 150, "misses": 25, "sets": 175, "deletes": 0}


def subject(credentials: HTTPAuthorizationCredentials = Depends(bearer)) -> str:
    try:
        claims = jwt.decode(credentials.credentials, SECRET, algorithms=["HS256"])
        return claims["sub"]
    except (jwt.PyJWTError, KeyError) as error:
        raise HTTPException(status_code=401) from error


@app.get("/api/v1/performance/cache/stats")
async def cache_stats(_: str = Depends(subject)) -> dict:
    total = stats["hits"] + stats["misses"]
    return {
        **stats,
        "total_requests": total,
        "hit_rate": round(stats["hits"] / total * 100, 2) if total else 0.0,
        "generated_at": time.time(),
    }


if __name__ == "__main__":
    print(jwt.encode({"sub": "bench", "exp": int(time.time()) + 3600}, SECRET, algorithm="HS256"), flush=True)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False,
                loop="uvloop", http="httptools")
