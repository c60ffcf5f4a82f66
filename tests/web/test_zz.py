from tests.web.test_tls import *
def test_zz(changing,pairs,capfd):
    a=os.fstat(2).st_ino, os.stat(f'/proc/{changing.process.pid}/fd/2').st_ino, capfd._capture.err.tmpfile.fileno(), os.fstat(capfd._capture.err.tmpfile.fileno()).st_ino
    remove(changing.data.parent, pairs.second)
    r=""
    out=[]
    import time
    for i in range(60):
        r+=capfd.readouterr().err
        out.append((os.fstat(2).st_size, os.lseek(2,0,1)))
        time.sleep(0.05)
    assert 0,(a,r,out)
