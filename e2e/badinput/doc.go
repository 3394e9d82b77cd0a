// Package badinput looks at what people and machines get wrong. Each mistake has to get an
// error that names the thing and the remedy, leave everything else running and lose
// nothing. Most are looked at where they are refused; here is what takes a pipeline.
//
//	mistake                                   test
//	an unknown YAML key, a wrong type         internal/config TestMistakesAreAllReportedWithTheirPlaces; pipeline/spec TestEveryMistakeAtOnce
//	an unset variable                         internal/config TestInterpolation
//	a pipeline file with a mistake            pipeline/runner TestFilesThatComeChangeAndGo (what runs goes on)
//	an unreachable source                     TestASourceThatIsNotThere
//	a wrong password, missing privileges      TestASourceThatRefuses;
//	                                          connectors/mysql TestPreflightNamesEachSettingAndItsRemedy, TestFewestPrivileges
//	statement binlogs                         connectors/mysql TestPreflightNamesEachSettingAndItsRemedy
//	partial row images, a foreign charset     connectors/mysql TestWhatCannotBeReadPausesItsTableOnly
//	a purged position                         e2e/conformance TestMariaDBIsASource/HistoryThatIsGone, TestMySQLIsASource;
//	                                          pipeline/runner TestAHistoryThatDoesNotMatchPausesThePipeline
//	a duplicate server id                     TestTwoReadersWithOneServerID
//	a source restored and written to again    connectors/mysql TestRestoredServerIsFound
//	an unwritable target, a full disk         TestATableWhoseDiskRefuses; pipeline/runner TestATargetThatCannotBeWrittenLosesNothing
//	a full disk of the broker                 TestABrokerWhoseDiskIsFull;
//	                                          broker TestAFullDiskRefusesAndRecovers, broker/store TestAFullDiskIsWaitedFor
//	a garbage frame, one of 2 GiB             remoting/rpc TestGarbageCostsItsOwnConnectionOnly, TestAnnouncedFrameTakesMemoryOnlyAsItArrives
//	a silent connection                       remoting/rpc TestSilentPeersAreCutOff
//	a topic name with ../                     broker TestTopicsThatAreRefused
//	a consumer offset beyond the log          TestAConsumerOffsetBeyondTheLog; broker TestOffsetsOutsideOfTheQueueAreRefusedAndCounted
//	a broker that lost an acknowledged tail   pipeline/runner TestWhatABrokerLostIsSnapshotAnew,
//	                                          TestABrokerThatLostEverythingIsTakenUp; broker/store TestALostTailIsFoundAndNamed
//	a row above the message limit             TestARowAboveTheMessageLimit; pipeline/bus TestARowAboveTheLimitPausesItsTable
//	a value a target cannot hold              sinks/parquet TestAValueThatCannotBeHeldIsNamed
package badinput
